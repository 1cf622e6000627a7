/// A part of a model that may be absent: a folder for text alone has no eyes.
#pragma once
#include <optional>

#include <mgm/mem/context.hpp>

namespace mgm::inline v0::models {

/// `.part = {ctx, {…config…}}` makes the part, leaving it out leaves it absent.
template <class M, Device Dev = DefaultDevice>
class Part : public std::optional<M> {
 public:
  Part() = default;
  Part(Context<Dev>& ctx, typename M::Config config) : std::optional<M>(std::in_place, ctx, std::move(config)) {}
};

}  // namespace mgm::inline v0::models
