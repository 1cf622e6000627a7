/// A program at a terminal of its own, as a person has it: what is typed there, Ctrl-C and Ctrl-D too, goes through the terminal.
#pragma once
#include <poll.h>

#include <utility>

#include "program.hpp"

namespace support {

inline constexpr char const *kCtrlC = "\x03", *kCtrlD = "\x04";

class AtTerminal {
 public:
  explicit AtTerminal(std::vector<std::string> arguments) : terminal_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (terminal_ < 0 || grantpt(terminal_) != 0 || unlockpt(terminal_) != 0) throw std::runtime_error("no pseudo-terminal to be had");
    std::string const name = ptsname(terminal_);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, name.c_str(), O_RDWR, 0);  // the first terminal of a session controls it
    posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDERR_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    int const refused = posix_spawn(&child_, argv[0], &files, &attributes, argv.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (refused != 0) throw std::runtime_error("cannot start " + arguments[0]);
  }
  AtTerminal(AtTerminal const&) = delete;
  AtTerminal& operator=(AtTerminal const&) = delete;
  ~AtTerminal() {
    if (child_ > 0) kill(child_, SIGKILL), waitpid(child_, nullptr, 0);
    close(terminal_);
  }

  void type(std::string const& keys) {
    if (write(terminal_, keys.data(), keys.size()) != static_cast<ssize_t>(keys.size())) throw std::runtime_error("the terminal is gone");
  }
  /// What is shown from now on up to `wanted`, or whatever comes next when that is empty; less when nothing comes for `seconds`.
  [[nodiscard]] std::string shown_until(std::string const& wanted, int seconds = 30) {
    char buffer[4096];
    pollfd waiting{terminal_, POLLIN, 0};
    while ((shown_.empty() || shown_.find(wanted) == std::string::npos) && poll(&waiting, 1, 1000 * seconds) > 0) {
      ssize_t const n = read(terminal_, buffer, sizeof buffer);
      if (n <= 0) break;
      shown_.append(buffer, static_cast<std::size_t>(n));
    }
    auto const at = shown_.find(wanted);
    std::string const rest = at == std::string::npos || wanted.empty() ? "" : shown_.substr(at + wanted.size());
    std::string out = shown_.substr(0, shown_.size() - rest.size());
    shown_ = rest;
    return out;
  }
  /// The exit status; 137 when it did not end by itself.
  [[nodiscard]] int status(int seconds = 30) {
    Ran ran;
    wait_for(std::exchange(child_, 0), {.limit_seconds = seconds}, ran);
    return ran.status;
  }

 private:
  int terminal_;
  std::string shown_;  // what was read and not yet handed out
  pid_t child_ = 0;
};

}  // namespace support
