/// From a checkpoint into the parameters of a module: everything is checked first and reported at once, then tensor after tensor is taken.
#pragma once
#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <mgm/io/checkpoint.hpp>
#include <mgm/io/convert.hpp>
#include <mgm/io/load_report.hpp>
#include <mgm/mem/context.hpp>
#include <mgm/mem/parameter.hpp>

namespace mgm::inline v0::io {

/// Where a module's tensors are: a checkpoint, what stands before their names in it, and what they are called there where that is
/// something else.
struct Source {
  Checkpoint checkpoint;
  std::string prefix;
  std::function<std::string(std::string const& parameter)> rename{};

  [[nodiscard]] std::string name(std::string const& parameter) const { return prefix + (rename ? rename(parameter) : parameter); }
};

namespace detail {

/// Shapes agree; a linear weight may also be stored as a 1×1 convolution.
inline bool same_shape(std::vector<Size> const& expected, std::vector<Size> found) {
  while (found.size() > expected.size() && found.back() == 1) found.pop_back();
  return expected == found;
}

/// from (out, in, taps) as stored -> to (out, taps·in), or for `taps_outer` from (C, taps) -> to (taps, C).
template <class T>
void permute(Layout layout, std::vector<Size> const& stored, T const* from, T* to) {
  Size const out = stored[0], in = stored[1], taps = stored[2] * stored[3];
  if (layout == Layout::taps_inner) {
    for (Size o = 0; o < out; ++o)
      for (Size t = 0; t < taps; ++t)
        for (Size i = 0; i < in; ++i) to[(o * taps + t) * in + i] = from[(o * in + i) * taps + t];
  } else {
    for (Size t = 0; t < taps; ++t)
      for (Size o = 0; o < out; ++o) to[t * out + o] = from[o * taps + t];
  }
}

/// Uninitialised memory of the host, from the Context where that is the host's.
template <class T, int R, Device Dev>
Tensor<T, R, Cpu> host_memory(Context<Dev>& ctx, Extents<R> extents) {
  if constexpr (std::same_as<Dev, Cpu>) {
    return ctx.template lasting<T>(extents);
  } else {
    Size const bytes = std::max<Size>(extents.count(), 1) * Size{sizeof(T)};
    std::shared_ptr<void const> owner(HeapAllocator{}.allocate(bytes), [bytes](void const* p) { HeapAllocator{}.release(const_cast<void*>(p), bytes); });
    return {View<T, R, Cpu>(static_cast<T*>(const_cast<void*>(owner.get())), extents), owner};
  }
}

/// On the host. Stored as T, row-major, aligned, and used as stored: mapped, nothing is copied. Else converted into memory of its own.
template <Real T, int R, Device Dev>
Tensor<T const, R, Cpu> take(Context<Dev>& ctx, Checkpoint::Entry const& entry, Parameter<T, R, Dev> const& p) {
  if (p.layout() == Layout::as_stored && entry.info->dtype == kDtypeOf<T> && entry.file->direct(*entry.info)) {
    Bytes const bytes = entry.file->bytes(*entry.info);
    return {View<T const, R, Cpu>(reinterpret_cast<T const*>(bytes.data), p.shape()), bytes.owner};
  }
  auto value = host_memory<T>(ctx, p.shape());
  if (p.layout() == Layout::as_stored) {
    copy_converted(*entry.file, *entry.info, value.data(), value.count());
  } else {
    auto const stored = host_memory<T>(ctx, Extents{entry.info->count()});
    copy_converted(*entry.file, *entry.info, stored.data(), stored.count());
    permute(p.layout(), p.stored_shape(), stored.data(), value.data());
  }
  return value;
}

/// Numbers in the order of the file, as `p` lies in memory.
template <Real T, int R, Device Dev>
Tensor<T const, R, Cpu> arrange(Context<Dev>& ctx, std::vector<float> const& numbers, Parameter<T, R, Dev> const& p) {
  auto value = host_memory<T>(ctx, p.shape());
  if (p.layout() == Layout::as_stored) {
    for (std::size_t i = 0; i < numbers.size(); ++i) value.data()[i] = narrow<T>(numbers[i]);
  } else {
    std::vector<T> stored;
    stored.reserve(numbers.size());
    for (float const v : numbers) stored.push_back(narrow<T>(v));
    permute(p.layout(), p.stored_shape(), stored.data(), value.data());
  }
  return value;
}

/// How a parameter is taken unless the caller says something else: as it is.
struct TakeAsStored {
  template <Real T, int R, Device Dev>
  Tensor<T const, R, Cpu> operator()(Context<Dev>& ctx, std::string const&, Checkpoint::Entry const& entry,
                                     Parameter<T, R, Dev> const& p) const {
    return take(ctx, entry, p);
  }
};

}  // namespace detail

/// Notes in `report` every parameter of `module` that `source` lacks, holds in another shape or in another type; adds the names that are
/// used to `used`.
template <class Module>
void check_parameters(Source const& source, Module& module, LoadReport& report, std::set<std::string>* used = nullptr) {
  visit_parameters(module, "", [&]<class P>(std::string const& path, P& p) {
    std::string const full = source.name(path);
    auto const* entry = source.checkpoint.find(full);
    if (used) used->insert(full);
    if (entry == nullptr) {
      report.add_missing(full, p.stored_shape());
    } else if (!detail::same_shape(p.stored_shape(), entry->info->shape)) {
      report.add_misshaped(full, p.stored_shape(), entry->info->shape);
    } else if (entry->info->dtype > Dtype::bf16) {
      report.add_mistyped(full, entry->info->dtype);
    } else if (constexpr Dtype kWanted = kDtypeOf<typename P::Element>; entry->info->dtype != kWanted) {
      report.add_converted(entry->info->dtype, kWanted);
    }
  });
}

/// How many parameters a module has.
template <class Module>
[[nodiscard]] Size count_parameters(Module& module) {
  Size n = 0;
  visit_parameters(module, "", [&](std::string const&, auto&) { ++n; });
  return n;
}

/// Takes every parameter of `module` from `source`, one step of the stage each. Call check_parameters first. `take(ctx, path, entry,
/// parameter)` gives the tensor, in memory order, on the host. Throws FileError, DtypeError (integers), MemoryError, Cancelled.
template <Device Dev, class Module, class Take = detail::TakeAsStored>
void take_parameters(Context<Dev>& ctx, Source const& source, Module& module, Take const& take = {}) {
  visit_parameters(module, "", [&](std::string const& path, auto& p) {
    p.assign(ctx.on_device(take(ctx, path, source.checkpoint.at(source.name(path)), p)));
    ctx.step();
  });
}

/// Checks and takes all parameters of one module. Throws FileError with all that is missing or misshaped.
template <Device Dev, class Module, class Take = detail::TakeAsStored>
void load_parameters(Context<Dev>& ctx, Source const& source, Module& module, Take const& take = {}) {
  LoadReport report;
  check_parameters(source, module, report);
  report.require_ok(source.checkpoint.path());
  ctx.begin(Stage::load, count_parameters(module));
  take_parameters(ctx, source, module, take);
}

}  // namespace mgm::inline v0::io
