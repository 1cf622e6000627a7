/// The version of these headers. The inline namespace carries the major number, so that two versions can live in one program.
#pragma once

namespace mgm::inline v0 {
inline constexpr char const* kVersion = "0.1.0";
}
