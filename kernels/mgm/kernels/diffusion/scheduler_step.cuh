/// A step of a diffusion scheduler with guidance, in one launch, so that the latents stay on the device from the first step to the last.
/// What is computed is in core/denoise_step.hpp.
/// Shapes  all (P, C): a row a pixel; past (3, P, C).   Types  state and predictions float, sums in double, the network's next input T.
/// Cost    about 60 bytes a number: bound by latency at the sizes of latents.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/core/denoise_step.hpp>
#include <mgm/kernels/elementwise/elementwise.cuh>

namespace mgm::inline v0::kernels {

template <class T, class Dev>
MGM_GLOBAL(MapTraits::kThreads)
void scheduler_step_kernel(MapShape shape, DenoiseStep step, View<float const, 2, Dev> prediction, View<float const, 2, Dev> base,
                           View<float const, 2, Dev> noise, DenoiseMemory<Dev> memory, View<T, 2, Dev> in) {
  for (Size p = shape.first_row(); p < shape.rows; p += shape.row_step())
    for (Size c = shape.first_piece(); c < shape.pieces; c += shape.piece_step()) {
      float const m = base.data() != nullptr ? guided(prediction(p, c), base(p, c), step.guidance) : prediction(p, c);
      DenoiseState at{
          memory.x(p, c), memory.data(p, c), memory.started(p, c), {memory.past(0, p, c), memory.past(1, p, c), memory.past(2, p, c)}};
      advance(step, m, noise.data() != nullptr ? noise(p, c) : 0.0f, at);
      memory.x(p, c) = at.x, memory.data(p, c) = at.data, memory.started(p, c) = at.started;
      memory.past(0, p, c) = at.past[0], memory.past(1, p, c) = at.past[1], memory.past(2, p, c) = at.past[2];
      in(p, c) = simt::narrow<T>(static_cast<float>(static_cast<double>(at.x) * step.input));
    }
}

/// prediction, base (or null: no guidance), noise (or null) (P, C) of float; the memory's views and `in` (P, C), any strides, apart from
/// each other. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void scheduler_step(simt::Stream<Dev> stream, DenoiseStep const& step, In<float, 2, Dev> prediction, In<float, 2, Dev> base,
                    In<float, 2, Dev> noise, DenoiseMemory<Dev> const& memory, Out<T, 2, Dev> in) {
  Size const rows = in.extent(0), cols = in.extent(1);
  auto const reads = [&](std::string_view part, View<float const, 2, Dev> v) {
    if (part != "prediction" && v.data() == nullptr) return;
    std::string const name = text("scheduler_step: ", part);
    check_input(name, v), check_shape(name, v, rows, cols), check_apart("scheduler_step: in", in, part, v);
    check_apart("scheduler_step: x", memory.x, part, v);
  };
  auto const keeps = [&](std::string_view part, View<float, 2, Dev> v) {
    std::string const name = text("scheduler_step: ", part);
    check_output(name, v), check_shape(name, v, rows, cols), check_apart("scheduler_step: in", in, part, v);
  };
  reads("prediction", prediction), reads("base", base), reads("noise", noise), check_output("scheduler_step: in", in);
  keeps("x", memory.x), keeps("data", memory.data), keeps("started", memory.started);
  check_output("scheduler_step: past", memory.past), check_shape("scheduler_step: past", memory.past, 3, rows, cols);
  check_apart("scheduler_step: past", memory.past, "x", memory.x), check_apart("scheduler_step: data", memory.data, "x", memory.x);
  check_apart("scheduler_step: started", memory.started, "x", memory.x);
  if (in.count() == 0) return;
  auto const shape = MapShape::of(rows, cols);
  simt::launch(stream, {.name = "scheduler_step", .grid = shape.grid(), .block = MapTraits::kThreads}, scheduler_step_kernel<T, Dev>, shape,
               step, prediction, base, noise, memory, in);
}

constexpr Cost scheduler_step_cost(Size p, Size c, Size bytes) { return {p * c * (15 * 4 + bytes), 24 * p * c}; }

}  // namespace mgm::inline v0::kernels
