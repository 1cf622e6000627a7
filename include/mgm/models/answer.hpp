/// An answer in the making: a range of pieces of text, each made when it is asked for.
#pragma once
#include <chrono>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include <mgm/io/tokenizer.hpp>
#include <mgm/models/image_generator.hpp>
#include <mgm/models/sampler.hpp>
#include <mgm/models/stop_strings.hpp>
#include <mgm/models/white_space.hpp>

namespace mgm::inline v0::models {

struct AskOptions {
  std::int64_t max_new_tokens = 512;
  Sampling sampling{};
  std::vector<std::string> stop{};  ///< strings that end the answer; they are not shown
  std::string ocr{};                ///< text recognised in the picture, handed to the model as a hint
  bool draw = false;                ///< asks for a picture: " <GEN>" at the end of the turn
  std::string prefix{};             ///< the answer is forced to begin so; it is part of `text()`, not of the pieces
};

/// Why an answer ended.
enum class Finish { running, stop, length, cancelled };

[[nodiscard]] constexpr std::string_view name(Finish f) {
  constexpr std::string_view kNames[] = {"running", "stop", "length", "cancelled"};
  return kNames[static_cast<int>(f)];
}

/// Wall time of the stages, in milliseconds.
struct Timings {
  double encode_ms = 0, prefill_ms = 0, decode_ms = 0;
};

/// Text that became certain with one token. Never splits a UTF-8 character; may be empty.
struct AnswerPiece {
  std::string text;
  int id;
};

/// Read it as a range, or whole with `text()`. Belongs to its session, which must not be moved and cannot be asked again before the answer
/// is read or dropped. Dropping it early keeps what was said so far as the turn's answer.
template <class Session>
class Answer {
 public:
  Answer(Session& session, AskOptions options, Timings timings, std::int64_t prompt_tokens, std::int64_t image_tokens)
      : session_(&session), options_(std::move(options)), stops_(options_.stop), decoder_(*session.vocabulary_, {.skip_special = true}),
        timings_(timings), prompt_tokens_(prompt_tokens), image_tokens_(image_tokens), said_(options_.prefix) {
    // what follows a beginning keeps its first space, which decoding takes off the front of a text
    for (int const id : session.vocabulary_->encode(options_.prefix, {.special = io::Special::plain, .bos = false, .eos = false})) (void)decoder_.push(id);
  }
  Answer(Answer const&) = delete;
  Answer& operator=(Answer const&) = delete;
  ~Answer() {
    if (closed_) return;
    close();
    session_->use_.drop_answer();
  }

  /// The next piece, or nothing at the end. When something throws the answer ends, and what was said before stays. A cancel does not
  /// throw here: the answer ends with Finish::cancelled. Throws ArgumentError, and goes on later, where it is called from a callback of its
  /// own or by two threads.
  std::optional<AnswerPiece> next() {
    if (finish_ != Finish::running) return std::nullopt;
    auto call = session_->use_.go_on("answer");
    auto const start = std::chrono::steady_clock::now();
    try {
      auto piece = step();
      timings_.decode_ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
      if (piece) said_ += piece->text;
      if (finish_ != Finish::running) close(), call.leave_idle();
      return piece;
    } catch (Cancelled const&) {
      finish_ = Finish::cancelled;
      close(), call.leave_idle();
      return std::nullopt;
    } catch (...) {
      finish_ = Finish::cancelled;
      close(), call.leave_idle();
      throw;
    }
  }

  class Iterator {
   public:
    using value_type = AnswerPiece;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    explicit Iterator(Answer* answer) : answer_(answer), piece_(answer->next()) {}
    AnswerPiece const& operator*() const { return *piece_; }
    AnswerPiece const* operator->() const { return &*piece_; }
    Iterator& operator++() {
      piece_ = answer_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(Iterator const& a, std::default_sentinel_t) { return !a.piece_; }

   private:
    Answer* answer_ = nullptr;
    std::optional<AnswerPiece> piece_{};
  };
  Iterator begin() { return Iterator(this); }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

  /// Reads to the end; all that was said, without special tokens, stripped of white space at both ends.
  std::string text() {
    while (next()) {
    }
    return stripped();
  }
  /// What has been said so far about a picture to be drawn; the turn's own text is not looked at.
  [[nodiscard]] GenerationPrompt generation_prompt() const { return read_generation_prompt(said_); }
  /// Reads to the end and has the picture drawn that the answer asks for, in the session's context; nothing when it asks for none or was
  /// cancelled. See models::draw, which draws in a context of the generator's own. An exception leaves the answer as it is.
  template <ImageGenerator<typename Session::Dev> Generator>
  [[nodiscard]] std::optional<io::Image> draw(Generator&& generator, DrawOptions options = {}) {
    while (next()) {
    }
    auto const wish = generation_prompt();
    if (!wish || finish_ == Finish::cancelled) return std::nullopt;
    return models::draw(*session_->ctx_, generator, wish, std::move(options));
  }
  [[nodiscard]] Finish finish() const { return finish_; }
  [[nodiscard]] std::vector<int> const& ids() const { return ids_; }  ///< the new tokens so far, the stop id included
  [[nodiscard]] Timings const& timings() const { return timings_; }
  [[nodiscard]] std::int64_t prompt_tokens() const { return prompt_tokens_; }  ///< positions of the prompt, images included
  [[nodiscard]] std::int64_t image_tokens() const { return image_tokens_; }
  [[nodiscard]] std::string stripped() const {
    return std::string(models::stripped(said_));
  }

 private:
  std::optional<AnswerPiece> step() {
    if (static_cast<std::int64_t>(ids_.size()) >= options_.max_new_tokens || (!ids_.empty() && session_->cache_.room() == 0))
      return end_with(Finish::length);
    int const id = session_->next_token(ids_.empty() ? std::nullopt : std::optional(ids_.back()), options_.sampling);
    ids_.push_back(id);
    if (std::find(session_->stops_.begin(), session_->stops_.end(), id) != session_->stops_.end()) return end_with(Finish::stop);
    AnswerPiece piece{stops_.push(decoder_.push(id)), id};
    if (stops_.stopped()) finish_ = Finish::stop;
    return piece;
  }
  /// Shows what was held back.
  std::optional<AnswerPiece> end_with(Finish why) {
    finish_ = why;
    std::string rest = stops_.push(decoder_.flush());
    rest += stops_.flush();
    if (rest.empty()) return std::nullopt;
    return AnswerPiece{std::move(rest), ids_.empty() ? -1 : ids_.back()};
  }
  /// The turn gets its answer, once.
  void close() noexcept {
    if (closed_) return;
    closed_ = true;
    try {
      session_->turns_.back().answer = stripped();
    } catch (...) {  // no memory for the text: the turn stays unanswered and is asked again with the next
    }
  }

  Session* session_;
  AskOptions options_;
  StopStrings stops_;
  io::StreamDecoder decoder_;
  Timings timings_;
  std::int64_t prompt_tokens_, image_tokens_;
  std::string said_;
  std::vector<int> ids_;
  Finish finish_ = Finish::running;
  bool closed_ = false;
};

}  // namespace mgm::inline v0::models
