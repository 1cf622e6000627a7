/// From the pieces of a prompt to ids, as the original tokenizes: the stretches between images each on their own, at most one BOS.
#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include <mgm/io/tokenizer.hpp>
#include <mgm/models/prompt.hpp>

namespace mgm::inline v0::models {

/// Stands for one image in a list of ids.
inline constexpr int kImageId = -200;

/// Ids of a prompt with kImageId once per image. Where the tokenizer puts a BOS in front of every stretch, the first alone is kept.
/// `ensure_bos`: exactly one BOS in front even where the tokenizer adds none (LLaMA-3). Throws as Tokenizer::encode does.
[[nodiscard]] inline std::vector<int> prompt_ids(io::Tokenizer const& vocabulary, std::span<Piece const> pieces, bool ensure_bos) {
  std::vector<std::vector<int>> chunks;
  std::vector<io::Part> parts;
  auto const close = [&] {
    chunks.push_back(vocabulary.encode(std::span<io::Part const>(parts)));
    parts.clear();
  };
  for (Piece const& p : pieces) {
    if (p.kind == Piece::Kind::image) {
      close();
    } else {
      parts.push_back({p.text, p.kind == Piece::Kind::plain});
    }
  }
  close();
  auto const bos = vocabulary.bos();
  bool const has_bos = bos && !chunks.front().empty() && chunks.front().front() == *bos;
  std::vector<int> ids;
  if (bos && (has_bos || ensure_bos)) ids.push_back(*bos);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (i > 0) ids.push_back(kImageId);
    ids.insert(ids.end(), chunks[i].begin() + (has_bos && !chunks[i].empty() ? 1 : 0), chunks[i].end());
  }
  return ids;
}

/// The ids that end an answer: the tokenizer's EOS, and the ends of a turn that the template has of its own.
[[nodiscard]] inline std::vector<int> stop_ids(io::Tokenizer const& vocabulary, Template kind) {
  std::vector<int> ids;
  if (auto const eos = vocabulary.eos()) ids.push_back(*eos);
  auto const also = [&](std::string_view token) {
    if (auto const id = vocabulary.id_of(token)) ids.push_back(*id);
  };
  if (kind == Template::gemma) also("<end_of_turn>");
  if (kind == Template::llama_3) also("<|end_of_text|>"), also("<|eot_id|>");
  if (kind == Template::chatml_direct) also("<|im_end|>"), also("<|endoftext|>");
  return ids;
}

}  // namespace mgm::inline v0::models
