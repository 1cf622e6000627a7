// The `mgm` tool: reads the command line, chooses the element type, turns exceptions into one line and an exit status.
#include <csignal>
#include <cstdio>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <mgm/core/dtype.hpp>
#include <mgm/core/version.hpp>
#include <mgm/io/checkpoint.hpp>
#include <mgm/io/read_image.hpp>

#include "options.hpp"

namespace tool {

namespace {
Terminal* interrupted_terminal = nullptr;  // what the signal handler can reach
extern "C" void on_interrupt(int) {
  if (interrupted_terminal == nullptr || interrupted_terminal->cancelled()) _exit(130);  // a second Ctrl-C does not wait
  interrupted_terminal->cancel();
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--device", o.device, "auto or cpu");
  app.add_option("--dtype", o.dtype, "f32, bf16 or f16")->check(CLI::IsMember({"f32", "bf16", "f16"}));
  app.add_option("--weights", o.weights, "native");
  app.add_option("--isa", o.isa, "portable, avx2, avx512 or avx512_bf16: force one of the CPU's paths");
  app.add_option("--threads", o.threads, "0: all")->check(CLI::Range(0, 4096));
  app.add_option("--progress", o.progress, "auto or never")->check(CLI::IsMember({"auto", "never"}));
  app.add_option("--seed", o.seed, "of the draws");
  app.add_flag("--json", o.json, "machine-readable result on standard output");
}
void add_model_options(CLI::App& app, Options& o) {
  app.add_option("MODEL", o.model, "an original folder")->required();
  app.add_option("--image", o.images, "PNG or JPEG; may be given several times")->allow_extra_args(false);
  app.add_option("--prompt", o.prompt, "what to say");
  app.add_option("--exif", o.exif, "apply: photographs stand upright; ignore: pixels as stored")->check(CLI::IsMember({"apply", "ignore"}));
  app.add_option("--clip", o.clip, "CLIP tower from its own folder");
  app.add_option("--openclip", o.openclip, "ConvNeXt tower from its own folder");
  app.add_option("--template", o.prompt_template, "vicuna_v1, gemma, llama_3, mistral_instruct, chatml_direct, none");
  app.add_option("--temperature", o.temperature, "0: greedy");
  app.add_option("--top-k", o.top_k, "0: all");
  app.add_option("--top-p", o.top_p, "1: all");
  app.add_option("--max-new-tokens", o.max_new_tokens)->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 24));
  app.add_option("--stop", o.stop, "a string that ends the answer; may be given several times")->allow_extra_args(false);
  app.add_option("--ocr", o.ocr, "text recognised in the picture");
  app.add_flag("--gen", o.gen, "ask for a picture");
  app.add_option("--generator", o.generator, "folder of the image generator (not built yet)");
  app.add_option("--heatmap", o.heatmap, "PNG: where detail was taken from");
  app.add_flag("--no-mining", o.no_mining, "the mining term is zero");
  app.add_flag("--blur-aux", o.blur_aux, "the high-resolution picture holds no more than the low-resolution one");
  app.add_option("-o,--output", o.output, "file to write");
}

/// bf16 where the weights take 16 bits, else f32.
std::string stored_dtype(Options const& o) {
  auto const checkpoint = mgm::io::Checkpoint::open(o.model);
  auto const* table = checkpoint.find("model.embed_tokens.weight");
  return table && mgm::size_of(table->info->dtype) == 2 ? "bf16" : "f32";
}

int run(Options& o, Terminal& terminal) {
  if (o.command == "tokenize") return tokenize(o);
  if (o.command == "inspect") return inspect(o);
  mgm::require<mgm::DeviceError>(o.device == "auto" || o.device == "cpu", "--device ", mgm::quoted(o.device),
                                 ": this build has auto and cpu");
  mgm::require<mgm::ArgumentError>(o.weights == "native", "--weights ", mgm::quoted(o.weights), ": this build has native");
  mgm::require<mgm::ArgumentError>(o.generator.empty(),
                                   "--generator: drawing is not built yet; without it the answer's picture prompt is printed");
  if (o.dtype.empty()) o.dtype = o.command == "dump" ? "f32" : stored_dtype(o);
  bool const is_dump = o.command == "dump";
  if (o.dtype == "bf16") return is_dump ? dump<mgm::bf16>(o, terminal) : chat<mgm::bf16>(o, terminal);
  if (o.dtype == "f16") return is_dump ? dump<mgm::half>(o, terminal) : chat<mgm::half>(o, terminal);
  return is_dump ? dump<float>(o, terminal) : chat<float>(o, terminal);
}
}  // namespace

void Terminal::progress(mgm::Stage stage, mgm::Size done, mgm::Size total) noexcept {
  if (!shown_ || total < 1 || stage == mgm::Stage::decode) return;
  int const percent = static_cast<int>(100 * done / total);
  if (percent == percent_ && stage == stage_) return;
  percent_ = percent, stage_ = stage;
  std::fprintf(stderr, "\r%-8.*s %3d %%", static_cast<int>(name(stage).size()), name(stage).data(), percent);
  if (done >= total) clear();
}
void Terminal::clear() noexcept {
  if (shown_ && percent_ >= 0) std::fprintf(stderr, "\r%-20s\r", "");
  percent_ = -1;
}

mgm::io::Image read_picture(Options const& o, std::string const& path) {
  return mgm::io::read_image(path, {.exif = o.exif == "apply" ? mgm::io::Exif::apply : mgm::io::Exif::ignore});
}

}  // namespace tool

int main(int argc, char** argv) {
  tool::Options o;
  CLI::App app("Mini-Gemini: looks at pictures and answers.", "mgm");
  app.set_version_flag("--version", std::string("mgm ") + mgm::kVersion);
  app.require_subcommand(1);
  auto* const chat = app.add_subcommand("chat", "text and pictures in, text out; interactive without --prompt");
  auto* const dump = app.add_subcommand("dump", "every stage's activations, as safetensors");
  auto* const tokenize = app.add_subcommand("tokenize", "text to ids and back");
  auto* const inspect = app.add_subcommand("inspect", "what a folder or file is, and which tensors are missing, unexpected or misshaped");
  for (auto* sub : {chat, dump}) tool::add_options(*sub, o), tool::add_model_options(*sub, o);
  dump->get_option("--prompt")->required();
  dump->get_option("--output")->required();
  tokenize->add_option("MODEL", o.model, "a folder with tokenizer files")->required();
  tokenize->add_option("--text", o.text);
  tokenize->add_option("--jsonl", o.jsonl, "one JSON string a line in, one array of ids a line out");
  tokenize->add_option("--decode", o.decode, "a JSON array of ids to text");
  tokenize->add_option("--decode-jsonl", o.decode_jsonl, "one array a line in, one JSON string a line out");
  tokenize->add_flag("--user-text", o.user_text, "special tokens in the text are letters");
  tokenize->add_flag("--no-bos", o.no_bos);
  tokenize->add_flag("--skip-special", o.skip_special, "decoding leaves special tokens out");
  tokenize->add_flag("--json", o.json, "the output is JSON in any case");
  inspect->add_option("PATH", o.model, "a folder, or one .safetensors, .bin, .pt or .pth file")->required();
  inspect->add_flag("--json", o.json);
  inspect->add_flag("--hash", o.hash, "adds the SHA-256 of each tensor's bytes");
  for (auto* sub : {tokenize, inspect}) sub->add_option("--progress", o.progress)->check(CLI::IsMember({"auto", "never"}));
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "mgm: %s; see mgm --help\n", error.what());
    return 2;
  }
  o.command = app.get_subcommands().front()->get_name();

  tool::Terminal terminal(o.progress == "auto" && isatty(2));
  tool::interrupted_terminal = &terminal;
  std::signal(SIGINT, tool::on_interrupt);
  try {
    return tool::run(o, terminal);
  } catch (tool::UsageError const& error) {
    std::fprintf(stderr, "mgm: %s; see mgm --help\n", error.message.c_str());
    return 2;
  } catch (mgm::Cancelled const&) {
    terminal.clear();
    std::fprintf(stderr, "mgm: interrupted\n");
    return 130;
  } catch (std::exception const& error) {
    terminal.clear();
    std::fprintf(stderr, "mgm: %s\n", error.what());
    return 1;
  }
}
