// `mgm draw`, compiled for one element type.
#include "draw.hpp"

template int tool::draw<float, mgm::Cpu>(tool::Options const&, tool::Terminal&);
template int tool::draw<float, mgm::Simt>(tool::Options const&, tool::Terminal&);
