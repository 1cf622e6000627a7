// `mgm chat`: one question, or a conversation at a prompt.
#pragma once
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <iostream>

#include <mgm/mgm.hpp>

#include "heatmaps.hpp"
#include "json_out.hpp"
#include "painter.hpp"

namespace tool {

template <class T, class Dev>
mgm::models::MiniGemini<T, Dev> open_model(mgm::Context<Dev>& ctx, Options const& o, Terminal& terminal) {
  auto model = mgm::models::MiniGemini<T, Dev>::open(ctx, o.model, {.clip = o.clip, .openclip = o.openclip});
  terminal.clear();
  if (o.progress != "never")
    for (auto const& note : model.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  return model;
}
inline std::optional<mgm::models::Template> template_of(Options const& o) {
  if (o.prompt_template.empty()) return std::nullopt;
  return mgm::models::template_by_name(o.prompt_template);
}
inline mgm::models::Sampling sampling_of(Options const& o, mgm::models::GenerationDefaults const& model) {
  return {.temperature = o.temperature, .top_k = o.top_k.value_or(model.top_k), .top_p = o.top_p.value_or(model.top_p), .seed = o.seed};
}
inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// What paints the pictures that answers ask for; nothing without a generator. Whatever can be refused is refused before a model is loaded.
/// An adapter is shown the conversation's first picture, unless it has one of its own.
template <class Dev>
std::unique_ptr<Painter> painter_of(mgm::Context<Dev>& ctx, Options const& o, std::vector<mgm::io::Image> const& pictures,
                                    Terminal& terminal) {
  if (o.generator.empty()) return nullptr;
  auto options = draw_options(o);
  if (!options.negative) options.negative = mgm::models::kNegativePrompt;
  if (!o.ip_adapter.empty() && !options.picture) {
    if (pictures.empty()) throw UsageError{"--ip-adapter: there is no picture to draw from; give one with --ip-image or --image"};
    options.picture = pictures.front();
  }
  return make_painter(ctx, o, options, terminal);
}

template <class T, class Dev>
int chat(Options const& o, Terminal& terminal) {
  using namespace mgm::models;
  auto const start = std::chrono::steady_clock::now();
  mgm::Context<Dev> ctx(context_config<Dev>(o, terminal));
  auto const prompt_template = template_of(o);  // before minutes of loading
  check(sampling_of(o, {}));
  Heatmaps heatmaps(o);
  std::vector<mgm::io::Image> pictures;
  for (auto const& path : o.images) pictures.push_back(read_picture(o, path));
  auto const painter = painter_of(ctx, o, pictures, terminal);
  auto const model = open_model<T, Dev>(ctx, o, terminal);
  double const load_ms = 1e3 * seconds_since(start);
  heatmaps.check(model, o);
  auto talk = model.session(ctx, {.prompt_template = prompt_template, .see = {.no_mining = o.no_mining, .blur_aux = o.blur_aux}});
  if (heatmaps.wanted()) talk.on_see([&](auto& trace) { heatmaps.add(ctx, model, trace, pictures); });
  AskOptions const ask{.max_new_tokens = o.max_new_tokens, .sampling = sampling_of(o, model.language.generation), .stop = o.stop, .ocr = o.ocr, .draw = o.gen};

  // The exit status of what was said: a picture that cannot be drawn is a failure, and the answer stands.
  auto const one_turn = [&](std::vector<mgm::io::Image> const& images, std::string const& said) {
    auto answer = talk.ask(images, said, ask);
    terminal.clear();
    for (auto const& piece : answer) {
      if (o.json) continue;
      std::fwrite(piece.text.data(), 1, piece.text.size(), stdout);
      std::fflush(stdout);
    }
    if (!o.json) std::printf("\n"), std::fflush(stdout);
    heatmaps.write();
    auto const wish = answer.generation_prompt();
    auto const odd = o.gen ? wish.notes() : std::vector<std::string>();
    if (!o.json && o.progress != "never")
      for (auto const& note : odd) std::fprintf(stderr, "note: %s\n", note.c_str());

    int status = answer.finish() == Finish::cancelled ? 130 : 0;
    Painted painted;
    std::string failure;
    auto const begun = std::chrono::steady_clock::now();
    if (painter && wish && status == 0) {
      try {
        painted = painter->paint(wish.prompt);
      } catch (mgm::Cancelled const&) {
        status = 130, failure = "interrupted";
      } catch (std::bad_alloc const&) {
        status = 1, failure = "memory: the system gave no more for the picture; use a 16-bit --dtype or a smaller --size";
      } catch (std::exception const& error) {
        status = 1, failure = error.what();
      }
    }
    double const draw_ms = 1e3 * seconds_since(begun);
    terminal.clear();
    if (o.json) {
      std::string notes;
      for (auto const& note : odd) notes += (notes.empty() ? "" : ", ") + quote(note);
      auto const& t = answer.timings();
      std::printf(
          "{\"text\": %s, \"prompt_tokens\": %lld, \"image_tokens\": %lld, \"new_tokens\": %zu, \"finish\": \"%s\", \"generation_prompt\": "
          "%s, \"image\": %s, \"notes\": [%s], \"path\": \"%s\", \"threads\": %d, \"timings_ms\": {\"load\": %.3f, \"encode\": %.3f, "
          "\"prefill\": %.3f, \"decode\": %.3f, \"draw\": %.3f}}\n",
          quote(answer.stripped()).c_str(), static_cast<long long>(answer.prompt_tokens()), static_cast<long long>(answer.image_tokens()),
          answer.ids().size(), std::string(name(answer.finish())).c_str(), wish ? quote(wish.prompt).c_str() : "null",
          painted.names.empty() ? "null" : quote(painted.names.front()).c_str(), notes.c_str(), ctx.path().c_str(), ctx.threads(), load_ms, t.encode_ms, t.prefill_ms,
          t.decode_ms, draw_ms);
    } else if (o.progress != "never") {
      for (auto const& each : painted.names) std::fprintf(stderr, "note: the picture is %s\n", each.c_str());
    }
    std::fflush(stdout);
    if (!failure.empty()) complain(failure);
    return status;
  };

  if (o.prompt) return one_turn(pictures, *o.prompt);
  bool first = true;
  bool const person = isatty(0) && !o.json;
  std::string line;
  while (true) {
    terminal.wait_for_a_line(true);  // Ctrl-C leaves from here on; one that came just before belongs to the answer
    terminal.reset();
    if (person) std::fputs("> ", stdout), std::fflush(stdout);
    bool const more = static_cast<bool>(std::getline(std::cin, line));
    terminal.wait_for_a_line(false);
    if (!more) break;
    try {
      one_turn(first ? pictures : std::vector<mgm::io::Image>{}, line);
      first = false;
    } catch (mgm::Cancelled const&) {  // during the prompt's own work: the question is as if not asked
      terminal.clear();
      std::printf("\n");
    } catch (mgm::Error const& error) {  // the conversation goes on as if it had not been said
      terminal.clear(), complain(error.what());
    } catch (std::bad_alloc const&) {
      terminal.clear(), complain("memory: the system gave no more; say less, or use a 16-bit --dtype");
    }
  }
  mgm::require<mgm::FileError>(std::ferror(stdin) == 0, "cannot read standard input");
  if (person) std::printf("\n");
  return 0;
}

}  // namespace tool
