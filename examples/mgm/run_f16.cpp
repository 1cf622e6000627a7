// The commands that run a model, compiled for one element type.
#include "dump.hpp"

template int tool::chat<mgm::half>(tool::Options const&, tool::Terminal&);
template int tool::dump<mgm::half>(tool::Options const&, tool::Terminal&);
