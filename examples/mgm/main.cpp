// The `mgm` tool: reads the command line, chooses the element type, turns exceptions into one line and an exit status.
#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <limits>
#include <new>
#include <system_error>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <mgm/core/device.hpp>
#include <mgm/core/dtype.hpp>
#include <mgm/core/version.hpp>
#include <mgm/io/checkpoint.hpp>
#include <mgm/io/read_image.hpp>
#include <mgm/simt/runtime.hpp>

#include "painter.hpp"

namespace tool {

namespace {
#if defined(MGM_TOOL_CUDA)
constexpr bool kHasCuda = true;
#else
constexpr bool kHasCuda = false;
#endif

Terminal* interrupted_terminal = nullptr;  // what the signal handler can reach; none: a command without steps to stop between
extern "C" void on_interrupt(int) {
  Terminal* const terminal = interrupted_terminal;
  if (terminal == nullptr || terminal->waits_for_a_line() || terminal->cancelled()) _exit(130);  // a second Ctrl-C does not wait
  terminal->cancel();
}

/// The next file to be opened would take the number of a closed standard stream, and be printed into. Printing to these fails instead.
void occupy_standard_streams() {
  for (int const stream : {0, 1, 2})
    if (::fcntl(stream, F_GETFD) < 0) (void)!::open("/dev/null", O_RDONLY);
}

/// `status`, unless something that was printed did not arrive.
int finished(int status) {
  if ((std::fflush(stdout) == 0 && std::ferror(stdout) == 0) || status != 0) return status;
  complain("cannot write to standard output: it is full or closed");
  return 1;
}

/// An option that takes one whole decimal number from `least` to `most`, in the C locale whatever the user's, and hands it to `take`.
template <class Number>
void add_number(CLI::App& app, std::string const& option, std::function<void(Number)> take, std::string const& help, Number least,
                Number most) {
  auto const read = [take = std::move(take), option, least, most](std::string const& said) {
    Number n{};
    char const* const end = said.data() + said.size();
    auto const [stop, error] = std::from_chars(said.data(), end, n);
    if (error != std::errc() || stop != end || !(n >= least && n <= most))
      throw CLI::ValidationError(option, mgm::text("expected a number from ", least, " to ", most, ", found ", mgm::quoted(said)));
    take(n);
  };
  app.add_option_function<std::string>(option, read, help)->type_name("NUMBER");
}
template <class Number>
void add_number(CLI::App& app, std::string const& option, Number& to, std::string const& help,
                Number least = std::numeric_limits<Number>::lowest(), Number most = std::numeric_limits<Number>::max()) {
  add_number<Number>(app, option, [&to](Number n) { to = n; }, help, least, most);
}

/// An option that takes a number from 0 to 1.
void add_share(CLI::App& app, std::string const& option, std::optional<double>& to, std::string const& help) {
  auto const read = [&to, option](std::string const& said) {
    double share = 0;
    char const* const end = said.data() + said.size();
    auto const [stop, error] = std::from_chars(said.data(), end, share);
    if (error != std::errc() || stop != end || !(share >= 0 && share <= 1))
      throw CLI::ValidationError(option, mgm::text("expected a number from 0 to 1, found ", mgm::quoted(said)));
    to = share;
  };
  app.add_option_function<std::string>(option, read, help)->type_name("NUMBER");
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--device", o.device,
                 "auto, cpu, cuda, cuda:1 (the second GPU), simt (the CUDA kernels, run on the processor) or simt:80 (with the matrix instructions of "
                 "that architecture)");
  app.add_option("--dtype", o.dtype, "f32, bf16 or f16")->check(CLI::IsMember({"f32", "bf16", "f16"}));
  app.add_option("--weights", o.weights, "native");
  app.add_option("--isa", o.isa, "portable, avx2, avx512 or avx512_bf16: force one of the CPU's paths");
  add_number(app, "--threads", o.threads, "0: all", 0, 1024);
  app.add_option("--progress", o.progress, "auto or never")->check(CLI::IsMember({"auto", "never"}));
  add_number(app, "--seed", o.seed, "of the draws");
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
  add_number(app, "--temperature", o.temperature, "0: greedy");
  add_number<int>(app, "--top-k", [&o](int k) { o.top_k = k; }, "0: all; 50, or what the model's generation_config.json says",
                  std::numeric_limits<int>::lowest(), std::numeric_limits<int>::max());
  add_number<float>(app, "--top-p", [&o](float p) { o.top_p = p; }, "1: all; 1, or what the model's generation_config.json says",
                    std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max());
  add_number(app, "--max-new-tokens", o.max_new_tokens, "length of the answer at most", std::int64_t{0}, std::int64_t{1} << 24);
  app.add_option("--stop", o.stop, "a string that ends the answer; may be given several times")->allow_extra_args(false);
  app.add_option("--ocr", o.ocr, "text recognised in the picture");
  app.add_flag("--gen", o.gen, "ask for a picture");
  app.add_option("--heatmap", o.heatmap, "PNG: where detail was taken from");
  app.add_flag("--no-mining", o.no_mining, "the mining term is zero");
  app.add_flag("--blur-aux", o.blur_aux, "the high-resolution picture holds no more than the low-resolution one");
  app.add_option("-o,--output", o.output, "file to write");
}

void add_eval_options(CLI::App& app, Options& o) {
  app.add_option("MODEL", o.model, "an original folder")->required();
  app.add_option("DATA", o.data, "a JSON list of conversation records")->required();
  app.add_option("--images", o.image_folder, "the folder that the records' pictures are in")->required();
  app.add_option("--turn", o.turn, "first, last or all; turns before are given as recorded")->check(CLI::IsMember({"first", "last", "all"}));
  app.add_option("--answer-prefix", o.answer_prefix, "each answer is forced to begin so");
  app.add_flag("--show", o.show, "prints each record, what was recorded and what was answered");
  app.add_option("--clip", o.clip, "CLIP tower from its own folder");
  app.add_option("--openclip", o.openclip, "ConvNeXt tower from its own folder");
  app.add_option("--template", o.prompt_template, "vicuna_v1, gemma, llama_3, mistral_instruct, chatml_direct");
  app.add_option("--exif", o.exif, "apply or ignore")->check(CLI::IsMember({"apply", "ignore"}));
  add_number(app, "--max-new-tokens", o.max_new_tokens, "length of an answer at most", std::int64_t{0}, std::int64_t{1} << 24);
  app.add_option("--stop", o.stop, "a string that ends the answer; may be given several times")->allow_extra_args(false);
  app.add_flag("--no-mining", o.no_mining, "the mining term is zero");
  app.add_flag("--blur-aux", o.blur_aux, "the high-resolution picture holds no more than the low-resolution one");
}

/// What an image generator is opened with besides its folder or file.
void add_generator_parts(CLI::App& app, Options& o) {
  app.add_option("--tokenizer", o.tokenizer, "folder with vocab.json and merges.txt, for an original checkpoint, which has none");
  app.add_option("--lora", o.loras, "FILE or FILE:SCALE, merged into the weights; may be given several times")->allow_extra_args(false);
  auto* const adapter = app.add_option("--ip-adapter", o.ip_adapter, "IP-Adapter's file: the picture of --ip-image conditions what is drawn");
  app.add_option("--ip-encoder", o.ip_encoder, "its image encoder's folder; image_encoder beside it without")->needs(adapter);
  app.add_option("--ip-image", o.ip_image, "the picture")->needs(adapter);
  add_number(app, "--ip-scale", o.ip_scale, "how strongly it acts", -100.0, 100.0);
}

/// What a drawing can be asked for, by `draw` and by `chat`.
void add_drawing_options(CLI::App& app, Options& o) {
  app.add_option("--negative", o.negative, "what not to draw; absent and empty differ for SDXL");
  add_number(app, "--steps", o.steps, "of the scheduler", 1, 100000);
  add_number<double>(app, "--guidance", [&o](double g) { o.guidance = g; }, "how strictly the prompt is followed; 5 for SDXL, 7.5 for SD",
                     -1e6, 1e6);
  app.add_option("--size", o.size, "WIDTHxHEIGHT in pixels");
  app.add_option("--scheduler", o.scheduler, "euler, euler_a, ddim, dpmpp_2m, lcm or pndm; the folder's own without")
      ->check(CLI::IsMember({"euler", "euler_a", "ddim", "dpmpp_2m", "lcm", "pndm"}));
  app.add_option("--karras", o.karras, "auto, on or off: noise levels of euler and dpmpp_2m")->check(CLI::IsMember({"auto", "on", "off"}));
  app.add_option("--latents", o.latents, "safetensors with the latents to start from");
  app.add_option("--init", o.init, "the picture to start from; without --size it keeps its size, down to multiples of 8");
  app.add_option("--mask", o.mask, "white where --init is painted anew, black where it stays; the size is then the generator's own, or --size");
  add_share(app, "--strength", o.strength, "0 to 1: the share of the steps that is run on --init; 0.8 for SD, 0.3 for SDXL, with --mask 1 and 0.9999");
  app.add_option("--refiner", o.refiner, "folder of SDXL's refiner, which does the last steps");
  add_share(app, "--refiner-at", o.refiner_at, "0 to 1: the share of the denoising after which the refiner takes over; 0.8");
  add_number(app, "--images", o.pictures, "so many pictures, from seeds S, S + 1, ...: OUT.png, OUT-2.png, OUT-3.png, ...", 1, 10000);
  add_number(app, "--preview", o.preview, "every so many steps a glance at the picture, a pixel for 8 x 8: OUT.step-N.png", 1, 100000);
  app.add_option("--tile", o.tile, "on: the autoencoder works on tiles, in less memory; off")->check(CLI::IsMember({"on", "off"}));
  app.add_option("--dump", o.dump, "safetensors to write: embeddings, latents and predictions of every step");
  add_generator_parts(app, o);
}
void add_draw_options(CLI::App& app, Options& o) {
  app.add_option("GENERATOR", o.generator, "a diffusers folder of the Stable Diffusion family, or one original checkpoint")->required();
  app.add_option("--prompt", o.prompt, "what to draw")->required();
  app.add_option("-o,--output", o.output, "PNG to write")->required();
  app.add_option("--exif", o.exif, "of --init and --mask: apply or ignore")->check(CLI::IsMember({"apply", "ignore"}));
  add_drawing_options(app, o);
  app.get_option("--ip-adapter")->needs("--ip-image");
}
/// A generator for the pictures that answers ask for. How to draw says nothing without one.
void add_generator_options(CLI::App& app, Options& o) {
  auto* const output = app.get_option("--output");
  auto* const generator = app.add_option("--generator", o.generator, "a folder or file as of draw, that paints what the answer asks for, into -o");
  generator->needs(app.get_option("--gen"))->needs(output), output->needs(generator);
  auto const before = app.get_options().size();
  add_drawing_options(app, o);
  auto const all = app.get_options();
  for (std::size_t i = before; i < all.size(); ++i) all[i]->needs(generator);
}

#if !defined(MGM_TOOL_SMALL)
/// bf16 where the weights take 16 bits, else f32.
std::string stored_dtype(Options const& o) {
  auto const checkpoint = mgm::io::Checkpoint::open(o.model);
  auto const* table = checkpoint.find("model.embed_tokens.weight");
  return table && mgm::size_of(table->info->dtype) == 2 ? "bf16" : "f32";
}

template <class Dev>
int run_model(Options const& o, Terminal& terminal) {
  auto const run_as = [&]<class T>(T) {
    if (o.command == "draw") return draw<T, Dev>(o, terminal);
    return o.command == "dump" ? dump<T, Dev>(o, terminal) : o.command == "eval" ? eval<T, Dev>(o, terminal) : chat<T, Dev>(o, terminal);
  };
  return o.dtype == "bf16" ? run_as(mgm::bf16()) : o.dtype == "f16" ? run_as(mgm::half()) : run_as(float());
}
#endif

int run(Options& o, Terminal& terminal) {
  bool const simt = o.device == "simt" || o.device.starts_with("simt:");
  bool const cuda = kHasCuda && (o.device == "cuda" || o.device.starts_with("cuda:"));
  mgm::require<mgm::DeviceError>(o.device == "auto" || o.device == "cpu" || simt || cuda, "--device ", mgm::quoted(o.device),
                                 ": this build has auto, cpu, ", kHasCuda ? "cuda, cuda:<number>, " : "", "simt and simt:<architecture>",
                                 kHasCuda ? "" : "; it was built without nvcc");
  mgm::require<mgm::ArgumentError>(o.weights == "native", "--weights ", mgm::quoted(o.weights), ": this build has native");
  if (o.command == "tokenize") return tokenize(o);
  if (o.command == "inspect") return inspect(o);
  interrupted_terminal = &terminal;
#if defined(MGM_TOOL_SMALL)
  mgm::require<mgm::ArgumentError>((o.device == "auto" || o.device == "cpu") && (o.dtype.empty() || o.dtype == "bf16") && o.command != "draw",
                                   "this small build answers in bf16 on the processor; `cmake --preset cpu && cmake --build --preset cpu` makes the whole tool");
  return o.command == "dump"   ? dump<mgm::bf16, mgm::Cpu>(o, terminal)
         : o.command == "eval" ? eval<mgm::bf16, mgm::Cpu>(o, terminal)
                               : chat<mgm::bf16, mgm::Cpu>(o, terminal);
#else
  o.draw_dtype = o.dtype.empty() ? "f32" : o.dtype;
  if (o.dtype.empty()) o.dtype = o.command == "chat" ? stored_dtype(o) : "f32";
#if defined(MGM_TOOL_CUDA)
  if (cuda || (o.device == "auto" && o.isa.empty() && mgm::simt::device_count() > 0)) return run_model<mgm::Cuda>(o, terminal);
#endif
  return simt ? run_model<mgm::Simt>(o, terminal) : run_model<mgm::Cpu>(o, terminal);
#endif
}
}  // namespace

void complain(std::string_view message) {
  std::string line(message);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  std::fprintf(stderr, "mgm: %s\n", line.c_str());
}

void Terminal::progress(mgm::Stage stage, mgm::Size done, mgm::Size total) noexcept {
  if (!shown_ || total < 1 || stage == mgm::Stage::decode) return;
  auto const now = std::chrono::steady_clock::now();
  if (done == 0) since_ = now, step_ = 0, steps_ = 0;
  int const percent = static_cast<int>(100 * done / total);
  if (percent == percent_ && stage == stage_) return;
  percent_ = percent, stage_ = stage;
  std::fprintf(stderr, "\r%-8.*s %3d %%", static_cast<int>(name(stage).size()), name(stage).data(), percent);
  if (steps_ > 0) std::fprintf(stderr, ", step %d of %d", std::min(step_ + 1, steps_), steps_);
  double const passed = std::chrono::duration<double>(now - since_).count();
  if (done > 0 && done < total && passed > 2)  // before, a guess
    std::fprintf(stderr, ", %.0f s left    ", passed / static_cast<double>(done) * static_cast<double>(total - done));
  if (done >= total) clear();
}
void Terminal::clear() noexcept {
  if (shown_ && percent_ >= 0) std::fprintf(stderr, "\r%-60s\r", "");
  percent_ = -1;
}

mgm::io::Image read_picture(Options const& o, std::string const& path) {
  return mgm::io::read_image(path, {.exif = o.exif == "apply" ? mgm::io::Exif::apply : mgm::io::Exif::ignore});
}

}  // namespace tool

int main(int argc, char** argv) {
  tool::occupy_standard_streams();
  tool::Options o;
  CLI::App app("Mini-Gemini: looks at pictures and answers.", "mgm");
  app.set_version_flag("--version", std::string("mgm ") + mgm::kVersion);
  app.require_subcommand(1);
  auto* const chat = app.add_subcommand("chat", "text and pictures in, text out; interactive without --prompt");
  auto* const dump = app.add_subcommand("dump", "every stage's activations, as safetensors");
  auto* const tokenize = app.add_subcommand("tokenize", "text to ids and back");
  auto* const inspect = app.add_subcommand("inspect", "what a folder or file is, and which tensors are missing, unexpected or misshaped");
  auto* const eval = app.add_subcommand("eval", "answers the questions of recorded conversations; exact answers by kind, and the loss");
  auto* const draw = app.add_subcommand("draw", "a picture for a prompt, by an image generator alone");
  for (auto* sub : {chat, dump, eval, draw, tokenize, inspect}) tool::add_options(*sub, o);
  tool::add_eval_options(*eval, o);
  tool::add_draw_options(*draw, o);
  for (auto* sub : {chat, dump}) tool::add_model_options(*sub, o);
  tool::add_generator_options(*chat, o);
  dump->get_option("--prompt")->required();
  dump->get_option("--output")->required();
  tokenize->add_option("MODEL", o.model, "a folder with tokenizer files")->required();
  tokenize->add_option("--text", o.text);
  tokenize->add_option("--jsonl", o.jsonl, "one JSON string a line in, one array of ids a line out");
  tokenize->add_option("--decode", o.decode, "a JSON array of ids to text");
  tokenize->add_option("--decode-jsonl", o.decode_jsonl, "one array a line in, one JSON string a line out");
  tokenize->add_option("--conversation", o.conversation, "a JSON list of training records: their ids and labels, one object a line");
  tokenize->add_option("--template", o.prompt_template, "of --conversation: vicuna_v1, gemma, llama_3, mistral_instruct, chatml_direct, plain");
  tool::add_number(*tokenize, "--max-length", o.max_length, "of --conversation: ids at most", std::int64_t{1}, std::int64_t{1} << 40);
  tokenize->add_flag("--user-text", o.user_text, "special tokens in the text are letters");
  tokenize->add_flag("--no-bos", o.no_bos);
  tokenize->add_flag("--skip-special", o.skip_special, "decoding leaves special tokens out");
  inspect->add_option("PATH", o.model, "a folder, or one .safetensors, .bin, .pt or .pth file")->required();
  inspect->add_flag("--hash", o.hash, "adds the SHA-256 of each tensor's bytes");
  inspect->add_flag("--scan", o.scan, "reads all weights: names tensors with an element that is NaN or infinite, and its index");
  try {
    std::string_view const command = argc > 1 ? argv[1] : "-";
    bool known = command.starts_with('-');
    for (auto const* sub : {chat, dump, eval, draw, tokenize, inspect}) known = known || sub->get_name() == command;
    if (!known) throw tool::UsageError{mgm::text("command ", mgm::quoted(command), " is not known; there are chat, dump, eval, draw, tokenize, inspect")};
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    if (error.get_exit_code() == 0) return tool::finished(app.exit(error));
    tool::complain(mgm::text(error.what(), "; see mgm --help"));
    return 2;
  } catch (tool::UsageError const& error) {
    tool::complain(mgm::text(error.message, "; see mgm --help"));
    return 2;
  }
  o.command = app.get_subcommands().front()->get_name();

  tool::Terminal terminal(o.progress == "auto" && isatty(2));
  std::signal(SIGINT, tool::on_interrupt);
  try {
    return tool::finished(tool::run(o, terminal));
  } catch (tool::UsageError const& error) {
    tool::complain(mgm::text(error.message, "; see mgm --help"));
    return 2;
  } catch (mgm::Cancelled const&) {
    terminal.clear();
    tool::complain("interrupted");
    return 130;
  } catch (std::bad_alloc const&) {
    terminal.clear();
    tool::complain("memory: the system gave no more; use a 16-bit --dtype or fewer or smaller inputs");
    return 1;
  } catch (std::system_error const& error) {
    terminal.clear();
    tool::complain(mgm::text("the system refused a thread or a file: ", error.what(), "; fewer --threads may help"));
    return 1;
  } catch (std::exception const& error) {
    terminal.clear();
    tool::complain(error.what());
    return 1;
  }
}
