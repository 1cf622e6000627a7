/// Runs a program with arguments as they are (no shell) and collects what it prints.
#pragma once
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "files.hpp"

namespace support {

struct Ran {
  int status = 0;  ///< the exit status; 128 + signal where one ended it
  std::string out, err;
};

/// Runs `arguments[0]` with standard input empty, and waits for it.
[[nodiscard]] inline Ran run(std::vector<std::string> arguments) {
  TempDir const scratch;
  std::string const out = scratch.path("out"), err = scratch.path("err");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  int const refused = posix_spawn(&child, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (refused != 0) throw std::runtime_error("cannot start " + arguments[0]);
  int state = 0;
  while (waitpid(child, &state, 0) < 0) {
  }
  return {WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state), slurp(out), slurp(err)};
}

}  // namespace support
