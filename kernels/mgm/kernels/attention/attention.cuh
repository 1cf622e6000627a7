/// Attention as layers call it: the form that its shape calls for.
///   out[i,h] = Σ_j softmax_j(scale · q[i,h]·k[j,g])·v[j,g],   g = h / (heads / kv_heads)
#pragma once
#include <string_view>

#include <mgm/kernels/attention/attention_decode.cuh>
#include <mgm/kernels/attention/attention_general.cuh>
#include <mgm/kernels/attention/attention_mma.cuh>

namespace mgm::inline v0::kernels {

enum class AttentionForm { general, decode, mma_small, mma_large };
[[nodiscard]] constexpr std::string_view name(AttentionForm form) {
  constexpr std::string_view kNames[] = {"general", "decode", "mma_small", "mma_large"};
  return kNames[static_cast<int>(form)];
}

/// What decides: extents, bytes of an element, and what attention_decode_takes and attention_mma_takes say of how the tensors lie.
struct AttentionShape {
  Size queries, keys, heads, kv_heads, width;
  int bytes;
  bool decode_takes = true, mma_takes = true;
};
/// The form that a shape takes. Few rows for each key/value head leave most of a matrix instruction idle, and too few blocks for a GPU
/// unless the keys are split; beyond them 16-bit types take the instructions. Warps of 32 rows read shared memory half as often, once
/// blocks of 128 rows are two for each of an A100's 108 multiprocessors. f32 has no matrix form: its sums are exact. No GPU has measured
/// this table.
[[nodiscard]] constexpr AttentionForm choose_attention(AttentionShape const& s) {
  if (s.kv_heads < 1) return AttentionForm::general;
  Size const rows = s.queries * (s.heads / s.kv_heads);
  if (s.decode_takes && s.queries <= 16 && (rows <= 32 || s.bytes != 2)) return AttentionForm::decode;
  if (s.bytes != 2 || !s.mma_takes) return AttentionForm::general;
  return s.width <= 128 && simt::ceil_div(rows, 128) * s.kv_heads >= 216 ? AttentionForm::mma_large : AttentionForm::mma_small;
}
/// The same, of tensors.
template <class T, KernelDevice Dev>
[[nodiscard]] AttentionForm choose_attention(In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<T, 3, Dev> out) {
  return choose_attention({q.extent(0), k.extent(0), q.extent(1), k.extent(1), q.extent(2), int{sizeof(T)},
                           attention_decode_takes<T, Dev>(q, k, v), attention_mma_takes<T, Dev>(q, k, v, out)});
}

/// Floats of working memory that `attention` needs for these; 0 for most.
template <class T, KernelDevice Dev>
[[nodiscard]] Size attention_workspace(bool tuned, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<T, 3, Dev> out) {
  if (!tuned || choose_attention<T, Dev>(q, k, v, out) != AttentionForm::decode) return 0;
  return attention_decode_workspace(q.extent(0), k.extent(0), q.extent(1), q.extent(2), sizeof(T));
}

/// Whether the form that these take can be told on the device how many keys there are. Forms do not depend on that number.
template <class T, KernelDevice Dev>
[[nodiscard]] bool attention_takes_last(bool tuned, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<T, 3, Dev> out) {
  return !tuned || choose_attention<T, Dev>(q, k, v, out) <= AttentionForm::decode;
}

/// q, out (Tq, heads, d); k, v (Tk, kv_heads, d), any strides; d at most 512. Causal: query i stands at position Tk − Tq + i and sees no
/// later key; what lies there must be finite. Scores and sums in float; the matrix forms round probabilities to T. `tuned` allows the forms
/// that need certain shapes and alignments; without it the general form is taken. `workspace` has attention_workspace(…) floats, which are
/// overwritten. `last`, one number in the device's memory, is the position of the last query, where attention_takes_last: the bits are
/// those of k and v cut behind it. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void attention(simt::Stream<Dev> stream, bool tuned, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, float scale, bool causal,
               std::type_identity_t<View<float, 1, Dev>> workspace, Out<T, 3, Dev> out,
               std::type_identity_t<View<std::int64_t const, 1, Dev>> last = {}) {
  require<ShapeError>(last.data() == nullptr || attention_takes_last<T, Dev>(tuned, q, k, v, out), "attention: last: q ",
                      shape_text(q.extents()), ", k ", shape_text(k.extents()), " take a form that has no last position");
  AttentionForm const form = tuned ? choose_attention<T, Dev>(q, k, v, out) : AttentionForm::general;
  if (form == AttentionForm::decode) return attention_decode<T, Dev>(stream, q, k, v, scale, causal, workspace, out, last);
  if constexpr (sizeof(T) == 2) {
    if (form == AttentionForm::mma_large) return attention_mma<2, T, Dev>(stream, q, k, v, scale, causal, out);
    if (form == AttentionForm::mma_small) return attention_mma<1, T, Dev>(stream, q, k, v, scale, causal, out);
  }
  attention_general<T, Dev>(stream, q, k, v, scale, causal, out, last);
}

}  // namespace mgm::inline v0::kernels
