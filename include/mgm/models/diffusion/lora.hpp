/// Low-rank changes of a generator's weights, from LoRA files (Hu et al. 2021, arXiv:2106.09685), added when the weights are loaded.
#pragma once
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <mgm/io/convert.hpp>
#include <mgm/io/load_parameters.hpp>
#include <mgm/models/diffusion/lora_names.hpp>
#include <mgm/ops/linear.hpp>

namespace mgm::inline v0::models {

/// W' = W + Σ_files scale·(alpha/rank)·up·down, up (out, rank), down (rank, in): also of convolutions, whose `down` has their taps. `alpha`
/// is the file's, else the rank. Sums in float, in the order of the files, rounded to the element type once; the same bits for any number
/// of threads. Only weights that a file changes are read and stored anew; the others stay as they are mapped.
class Loras {
 public:
  Loras() = default;
  /// Reads the names, not yet the numbers. Throws FileError for tensors that are no LoRA's, halves without their other half and shapes that
  /// do not fit each other, ConfigError for kinds that are not built (DoRA), all naming the file.
  explicit Loras(std::vector<LoraFile> const& files) {
    for (auto const& file : files) add(file);
  }
  [[nodiscard]] bool empty() const { return files_.empty(); }

  /// For io::load_parameters of `network`. `alias` gives the other name of a parameter where files may use it (original block numbers).
  /// *this must outlive the result.
  [[nodiscard]] auto take(LoraNetwork network, std::function<std::string(std::string const& path)> alias = {}) {
    return Take{this, network, std::move(alias)};
  }
  /// After all networks are loaded: a note for every file of which layers met none of the model's, naming them. Throws FileError for a file
  /// of which no layer did.
  [[nodiscard]] std::vector<std::string> notes() const {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      std::vector<std::string> idle;
      std::size_t all = 0;
      for (auto const& [layer, terms] : terms_)
        for (auto const& t : terms)
          if (t.file == i) {
            ++all;
            if (!t.used) idle.push_back(t.name);
          }
      require<FileError>(idle.size() < all, files_[i].path(), ": none of its ", all,
                         " layers is in this model; it was trained for another: ", io::detail::name_list(idle));
      if (!idle.empty())
        out.push_back(
            text(files_[i].path(), ": ", idle.size(), " of ", all, " layers are not in this model: ", io::detail::name_list(idle)));
    }
    return out;
  }

 private:
  struct Term {
    std::size_t file;
    std::string name;  // as the file spells the layer
    io::Checkpoint::Entry const *down = nullptr, *up = nullptr, *alpha = nullptr;
    double scale = 1;  // of the file, later with alpha / rank
    bool used = false;
  };
  using Layer = std::pair<LoraNetwork, std::string>;

  struct Take {
    Loras* loras;
    LoraNetwork network;
    std::function<std::string(std::string const&)> alias;

    template <Real T, int R, Device Dev>
    Tensor<T const, R, Cpu> operator()(Context<Dev>& ctx, std::string const& path, io::Checkpoint::Entry const& entry,
                                       Parameter<T, R, Dev> const& p) const {
      auto* const terms = loras->find(network, path, alias);
      if (terms == nullptr) return io::detail::take(ctx, entry, p);
      std::vector<float> w(static_cast<std::size_t>(entry.info->count()));
      io::copy_converted(*entry.file, *entry.info, w.data(), entry.info->count());
      Size const out = p.stored_shape().at(0);
      for (auto& term : *terms) loras->add_to(ctx.host_executor(), term, path, {w.data(), Extents{out, entry.info->count() / out}});
      return io::detail::arrange(ctx, w, p);
    }
  };

  [[nodiscard]] std::vector<Term>* find(LoraNetwork network, std::string const& path,
                                        std::function<std::string(std::string const&)> const& alias) {
    constexpr std::string_view kWeight = ".weight";
    if (terms_.empty() || !path.ends_with(kWeight)) return nullptr;
    auto const look = [&](std::string_view name) {
      auto const at = terms_.find({network, flat_layer(network, name.substr(0, name.size() - kWeight.size()))});
      return at == terms_.end() ? nullptr : &at->second;
    };
    auto* found = look(path);
    return found || !alias ? found : look(alias(path));
  }

  void add(LoraFile const& given) {
    std::size_t const number = files_.size();
    files_.push_back(io::Checkpoint::open(given.path, {}));
    auto const& file = files_.back();
    std::vector<std::string> unknown;
    std::map<Layer, Term> mine;
    for (auto const& entry : file.entries()) {
      require<ConfigError>(entry.name.find("dora_scale") == entry.name.npos && entry.name.find("lora_magnitude") == entry.name.npos,
                           given.path, ": tensor ", mgm::quoted(entry.name), ": DoRA is not supported");
      auto const parsed = lora_name(entry.name);
      if (!parsed) {
        unknown.emplace_back(entry.name);
        continue;
      }
      Term& term = mine.try_emplace({parsed->network, parsed->layer}, Term{number, std::string(entry.name)}).first->second;
      auto*& part = parsed->role == LoraRole::down ? term.down : parsed->role == LoraRole::up ? term.up : term.alpha;
      require<FileError>(part == nullptr, given.path, ": tensor ", mgm::quoted(entry.name),
                         ": the layer's half is there twice, under two names");
      part = &entry;
    }
    require<FileError>(unknown.empty(), given.path, ": ", unknown.size(), " of ", file.entries().size(),
                       " tensors are no LoRA's: ", io::detail::name_list(unknown));
    require<FileError>(!mine.empty(), given.path, ": no tensors");
    io::Json metadata;
    for (auto const& [key, value] : file.files().front()->metadata())
      if (key == "lora_adapter_metadata") metadata = io::parse_json(value, text(given.path, ": lora_adapter_metadata"));
    for (auto& [layer, term] : mine) {
      finish(term, given, metadata, layer.first);
      terms_[layer].push_back(std::move(term));
    }
  }
  /// Checks the halves against each other, and settles how strongly they act.
  void finish(Term& term, LoraFile const& given, io::Json const& metadata, LoraNetwork network) const {
    require<FileError>(term.down && term.up, given.path, ": tensor ", mgm::quoted(term.name), ": the layer's ", term.down ? "up" : "down",
                       " half is missing");
    auto const &down = term.down->info->shape, &up = term.up->info->shape;
    require<FileError>(down.size() >= 2 && up.size() >= 2 && down[0] == up[1] && down[0] >= 1 && term.up->info->count() == up[0] * up[1],
                       given.path, ": tensors ", mgm::quoted(term.down->name), " of shape ", io::shape_text(down), " and ",
                       mgm::quoted(term.up->name), " of shape ", io::shape_text(up), " are no halves of one change");
    double const rank = static_cast<double>(down[0]);
    double alpha = rank;
    if (term.alpha) {
      io::copy_converted(*term.alpha->file, *term.alpha->info, &alpha, 1);
    } else if (metadata.is_object()) {
      constexpr std::string_view kNames[] = {"unet.", "text_encoder.", "text_encoder_2."};
      std::string const prefix(kNames[static_cast<int>(network)]), where = text(given.path, ": lora_adapter_metadata");
      alpha = io::get_or(metadata, prefix + "lora_alpha", rank, where);
      if (auto const* each = io::find_key(metadata, prefix + "alpha_pattern", where); each && each->is_object())
        for (auto const& [pattern, value] : each->items())
          if (value.is_number() && matches(term.down->name, prefix, pattern)) alpha = value.get<double>();
      if (io::get_or(metadata, prefix + "use_rslora", false, where)) alpha *= std::sqrt(rank);
    }
    term.scale = given.scale * alpha / rank;
    require<FileError>(std::isfinite(term.scale), given.path, ": tensor ", mgm::quoted(term.name), ": scale ", given.scale, " and alpha ",
                       alpha, " are no numbers");
  }
  /// Whether a pattern of PEFT's names the layer: its whole path, or the last parts of it.
  [[nodiscard]] static bool matches(std::string_view tensor, std::string_view prefix, std::string_view pattern) {
    if (tensor.starts_with(prefix)) tensor.remove_prefix(prefix.size());
    tensor = tensor.substr(0, tensor.find(".lora"));
    if (pattern.starts_with('^')) pattern.remove_prefix(1);
    return tensor == pattern || (tensor.ends_with(pattern) && tensor[tensor.size() - pattern.size() - 1] == '.');
  }
  void add_to(Executor const& run, Term& term, std::string const& path, View<float, 2, Cpu> w) {
    Size const rank = term.down->info->shape[0], out = term.up->info->shape[0];
    require<FileError>(out == w.extent(0) && term.down->info->count() == rank * w.extent(1), files_[term.file].path(), ": tensors ",
                       mgm::quoted(term.up->name), " of shape ", io::shape_text(term.up->info->shape), " and ",
                       mgm::quoted(term.down->name), " of shape ", io::shape_text(term.down->info->shape), " do not fit ", path, " with ",
                       w.extent(0), " rows of ", w.extent(1));
    std::vector<float> left(static_cast<std::size_t>(out * rank)), right(static_cast<std::size_t>(rank * w.extent(1)));
    io::copy_converted(*term.up->file, *term.up->info, left.data(), static_cast<Size>(left.size()));
    io::copy_converted(*term.down->file, *term.down->info, right.data(), static_cast<Size>(right.size()));
    ops::add_product(run, {left.data(), Extents{out, rank}}, {right.data(), Extents{rank, w.extent(1)}}, static_cast<float>(term.scale), w);
    term.used = true;
  }

  std::vector<io::Checkpoint> files_;  // what the terms point into
  std::map<Layer, std::vector<Term>> terms_;
};

}  // namespace mgm::inline v0::models
