// The commands that run a model, compiled for one element type.
#include "dump.hpp"

template int tool::chat<float>(tool::Options const&, tool::Terminal&);
template int tool::dump<float>(tool::Options const&, tool::Terminal&);
