// The commands that run a model, compiled for one element type and one device.
#include "dump.hpp"
#include "eval.hpp"

template int tool::chat<mgm::half, mgm::Simt>(tool::Options const&, tool::Terminal&);
template int tool::dump<mgm::half, mgm::Simt>(tool::Options const&, tool::Terminal&);
template int tool::eval<mgm::half, mgm::Simt>(tool::Options const&, tool::Terminal&);
