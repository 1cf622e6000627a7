/// From logits to a token on a device of kernels (kernels/decode/sampling.cuh); on the CPU models/sampler.hpp does it.
#pragma once
#include <mgm/kernels/instances/untyped.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

using kernels::SampledToken;
using kernels::SampleStatus;
using kernels::SamplingRule;

/// One token for each row of logits (P, V) by `rule`, with the draw of each row's position (P): out (P). What is wrong with a row is its
/// status. Enqueues and returns. Throws as kernels::sample.
template <KernelDevice Dev>
void sample(Context<Dev>& ctx, In<float, 2, Dev> logits, SamplingRule const& rule, View<std::int64_t const, 1, Dev> positions,
            View<SampledToken, 1, Dev> out) {
  kernels::sample<Dev>(ctx.stream(), logits, rule, positions, out);
}
/// The same by rules (P) in the device's memory, after each position is advanced by one. Throws as kernels::sample_next.
template <KernelDevice Dev>
void sample_next(Context<Dev>& ctx, In<float, 2, Dev> logits, View<SamplingRule const, 1, Dev> rules, View<std::int64_t, 1, Dev> positions,
                 View<SampledToken, 1, Dev> out) {
  kernels::sample_next<Dev>(ctx.stream(), logits, rules, positions, out);
}

}  // namespace mgm::inline v0::ops
