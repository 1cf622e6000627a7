/// Runs a program with arguments as they are (no shell) and collects what it prints.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "files.hpp"

namespace support {

struct Ran {
  int status = 0;  ///< the exit status; 128 + signal where one ended it
  std::string out, err;
  long peak_kib = 0;  ///< the most memory that it had at once
};

struct RunOptions {
  std::string input{};      ///< what it reads on standard input
  std::string output{};     ///< where its standard output goes, instead of into Ran::out
  int interrupt_ms = 0;     ///< Ctrl-C after that time
  int limit_seconds = 300;  ///< then it is killed: status 137
};

/// The child's end, waited for; `options` say when to interrupt and when to kill.
inline void wait_for(pid_t child, RunOptions const& options, Ran& ran) {
  using Clock = std::chrono::steady_clock;
  auto const start = Clock::now();
  bool interrupted = options.interrupt_ms == 0;
  int state = 0;
  rusage used{};
  while (wait4(child, &state, WNOHANG, &used) != child) {
    auto const passed = Clock::now() - start;
    if (!interrupted && passed > std::chrono::milliseconds(options.interrupt_ms)) interrupted = true, kill(child, SIGINT);
    if (passed > std::chrono::seconds(options.limit_seconds)) kill(child, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ran.status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  ran.peak_kib = used.ru_maxrss;
}

/// Runs `arguments[0]` and waits for it.
[[nodiscard]] inline Ran run(std::vector<std::string> arguments, RunOptions const& options = {}) {
  TempDir const scratch;
  std::string const out = options.output.empty() ? scratch.path("out") : options.output, err = scratch.path("err");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, scratch.write("in", options.input).c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  int const refused = posix_spawn(&child, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (refused != 0) throw std::runtime_error("cannot start " + arguments[0]);
  Ran ran;
  wait_for(child, options, ran);
  if (options.output.empty()) ran.out = slurp(out);
  ran.err = slurp(err);
  return ran;
}

}  // namespace support
