/// Which form each operation takes of the published models' shapes on a GPU, as the launchers themselves choose it: `./bench/run forms`.
/// "vendor" stands for a library's form, taken where a Context prefers it and the library has it; nothing here has been measured on a GPU
/// yet.
#include <cstdio>
#include <string>

#include <mgm/kernels/attention/attention.cuh>
#include <mgm/kernels/attention/mining_plan.hpp>
#include <mgm/kernels/conv/depthwise_norm_tile.cuh>
#include <mgm/kernels/gemm/gemm.cuh>
#include <mgm/ops/conv_form.hpp>

namespace {

using namespace mgm;

void row(std::string const& what, std::string const& shape, std::string_view form, std::string_view preferred) {
  std::printf("| %s | %s | %s | %s |\n", what.c_str(), shape.c_str(), std::string(form).c_str(), std::string(preferred).c_str());
}
void heading(char const* operation, char const* shape) {
  std::printf("\n## %s\n| of | %s | form | with a library, preferred |\n|---|---|---|---|\n", operation, shape);
}

void products() {
  struct Row {
    char const* what;
    kernels::GemmShape shape;
  };
  heading("linear, matmul", "M × N × K, bytes");
  for (Row const& r : {Row{"CLIP-L qkv", {577, 3072, 1024, 2}},
                       {"CLIP-L out", {577, 1024, 1024, 2}},
                       {"CLIP-L fc1", {577, 4096, 1024, 2}},
                       {"CLIP-L fc2", {577, 1024, 4096, 2}},
                       {"CLIP-L fc2, five views", {2885, 1024, 4096, 2}},
                       {"ConvNeXt-L stage 0, first", {36864, 768, 192, 2}},
                       {"ConvNeXt-L stage 2, second", {2304, 768, 3072, 2}},
                       {"ConvNeXt-L stage 3, second", {576, 1536, 6144, 2}},
                       {"2B gate, 640 positions", {640, 16384, 2048, 2}},
                       {"2B down, 640 positions", {640, 2048, 16384, 2}},
                       {"7B down, 640 positions", {640, 4096, 11008, 2}},
                       {"2B head, one position", {1, 256000, 2048, 2}},
                       {"7B queries, one position", {1, 4096, 4096, 2}},
                       {"7B queries, 16 positions", {16, 4096, 4096, 2}},
                       {"7B queries, 17 positions", {17, 4096, 4096, 2}},
                       {"7B queries, one position, f32", {1, 4096, 4096, 4}},
                       {"7B queries, 640 positions, f32", {640, 4096, 4096, 4}},
                       {"rows that begin off 16 bytes", {640, 4096, 4095, 2, false, false}}}) {
    kernels::GemmShape theirs = r.shape;
    theirs.vendor_takes = true, theirs.prefer = Prefer::vendor;
    row(r.what, text(r.shape.m, " × ", r.shape.n, " × ", r.shape.k, ", ", r.shape.bytes), name(kernels::choose_gemm(r.shape)),
        name(kernels::choose_gemm(theirs)));
  }
}
void attentions() {
  struct Row {
    char const* what;
    kernels::AttentionShape shape;
  };
  heading("attention", "queries, keys, heads/key heads, width, bytes");
  for (Row const& r : {Row{"CLIP-L", {577, 577, 16, 16, 64, 2}},
                       {"2B prefill", {640, 640, 8, 1, 256, 2}},
                       {"2B step", {1, 700, 8, 1, 256, 2}},
                       {"7B prefill", {640, 640, 32, 32, 128, 2}},
                       {"7B prefill, HD", {2944, 2944, 32, 32, 128, 2}},
                       {"7B step", {1, 3000, 32, 32, 128, 2}},
                       {"8B step", {1, 3000, 32, 8, 128, 2}},
                       {"34B step", {1, 3000, 56, 8, 128, 2}},
                       {"7B prefill, f32", {640, 640, 32, 32, 128, 4}},
                       {"7B step, f32", {1, 640, 32, 32, 128, 4}},
                       {"rows that begin off 16 bytes", {640, 640, 32, 32, 128, 2, false, false}}}) {
    auto const& s = r.shape;
    row(r.what, text(s.queries, ", ", s.keys, ", ", s.heads, "/", s.kv_heads, ", ", s.width, ", ", s.bytes),
        name(kernels::choose_attention(s)), "none");
  }
}
void convolutions() {
  struct Row {
    char const* what;
    ops::ConvShape shape;
  };
  heading("convolution", "map, window, stride");
  for (Row const& r : {Row{"UNet, 64 × 64", {Window::same(3, 64, 64), 64, 64}},
                       {"UNet, down", {Window::halved(64, 64), 64, 64}},
                       {"UNet, up", {Window::resampled(3, 64, 64), 32, 32}},
                       {"UNet, shortcut", {Window::same(1, 64, 64), 64, 64}},
                       {"VAE, 512 × 512", {Window::same(3, 512, 512), 512, 512}},
                       {"UNet, 64 × 64, f32", {.window = Window::same(3, 64, 64), .rows = 64, .cols = 64, .tuned_16 = false}}}) {
    ops::ConvShape theirs = r.shape;
    theirs.prefer = Prefer::vendor, theirs.vendor_takes = r.shape.window.rows == r.shape.rows;  // as ConvolutionCall::of says
    row(r.what, text(r.shape.rows, " × ", r.shape.cols, ", ", r.shape.window.side, ", ", r.shape.window.stride),
        name(ops::choose_conv(r.shape)), name(ops::choose_conv(theirs)));
  }
}

}  // namespace

int main() {
  std::printf(
      "# Which shape takes which form\n\nMade by `./bench/run forms` from the functions that the launchers call. Measured on a GPU: "
      "nothing yet.\n");
  products(), attentions(), convolutions();
  std::printf(
      "\n## depthwise convolution, norm, mining\n```\n%s\nLayerNorm, RMSNorm, GroupNorm: one form each, for every shape\n\n%s\n%s```\n",
      kernels::depthwise_table().c_str(), kernels::mining_table(163 * 1024).c_str(), kernels::mining_table(227 * 1024).c_str());
}
