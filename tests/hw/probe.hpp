/// Probes: one instruction, laid bare. Each reads what the instruction does for descriptors given at run time, compares it with what its
/// documentation says, and with what a GPU once gave (golden/<probe>.txt) where that is known. On Simt the portable twin is probed.
///   MGM_PROBE="4 1 16 72"   in the environment: this descriptor alone, printed whatever comes out
///   MGM_PROBE_OUT=folder    writes <probe>.txt there: on a GPU, a new golden table
#pragma once
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "support/device.hpp"

namespace hw {

using support::Dev;
using Words = std::vector<unsigned>;
using Descriptor = std::vector<int>;

/// The descriptors to try: those given, or the one of the environment, which has as many numbers.
inline std::vector<Descriptor> descriptors(std::vector<Descriptor> given) {
  char const* const asked = std::getenv("MGM_PROBE");
  if (asked == nullptr) return given;
  std::istringstream in(asked);
  Descriptor one;
  for (int number; in >> number;) one.push_back(number);
  return one.size() == given.front().size() ? std::vector<Descriptor>{one} : given;
}

/// What one instruction gave for each descriptor, as text.
class Table {
 public:
  /// `fields` names the numbers of a descriptor.
  Table(std::string name, std::string fields)
      : name_(std::move(name)), text_("# " + name_ + ": " + fields + "; then words in hex, a lane a line\n") {}
  /// `read`, `columns` words a lane, is what came; `expected` what should.
  void add(Descriptor const& descriptor, Words const& read, Words const& expected, int columns) {
    std::string part = name_;
    for (int number : descriptor) part.append(1, ' ').append(std::to_string(number));
    part += "\n";
    for (std::size_t i = 0; i < read.size(); ++i) {
      char word[16];
      std::snprintf(word, sizeof word, "%08x%c", read[i], (i + 1) % static_cast<std::size_t>(columns) == 0 ? '\n' : ' ');
      part += word;
    }
    if (std::getenv("MGM_PROBE") != nullptr) std::fputs(part.c_str(), stdout);
    text_ += part;
    ASSERT_EQ(read.size(), expected.size());
    for (std::size_t i = 0; i < read.size(); ++i)
      if (read[i] != expected[i]) {
        ADD_FAILURE() << part.substr(0, part.find('\n')) << ": lane " << i / static_cast<std::size_t>(columns) << ", word "
                      << i % static_cast<std::size_t>(columns) << " is " << std::hex << read[i] << ", expected " << expected[i]
                      << ", exclusive or " << (read[i] ^ expected[i]);
        return;
      }
  }
  /// Writes the table where it is asked for, and holds it against the golden one.
  void finish() const {
    if (char const* const folder = std::getenv("MGM_PROBE_OUT")) std::ofstream(std::string(folder) + "/" + name_ + ".txt") << text_;
    std::ifstream golden("tests/hw/golden/" + name_ + ".txt");
    if (!golden || std::getenv("MGM_PROBE") != nullptr) return;  // no GPU has given one yet
    std::ostringstream held;
    held << golden.rdbuf();
    EXPECT_EQ(text_, held.str()) << name_ << " differs from what a GPU gave";
  }

 private:
  std::string name_, text_;
};

/// Words that a kernel fills, poisoned before.
class Output {
 public:
  Output(mgm::Context<Dev>& ctx, int count) : ctx_(&ctx), words_(ctx.template empty<unsigned>(mgm::Extents{mgm::Size{count}})) {}
  [[nodiscard]] mgm::View<unsigned, 1, Dev> view() const { return words_.view(); }
  [[nodiscard]] Words back() const {
    auto const host = ctx_->on_host(words_.view());
    return Words(host.data(), host.data() + host.count());
  }

 private:
  mgm::Context<Dev>* ctx_;
  mgm::Tensor<unsigned, 1, Dev> words_;
};

}  // namespace hw
