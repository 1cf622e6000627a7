// Drawing, compiled for one element type and one device.
#include "draw.hpp"

template int tool::draw<float, mgm::Cpu>(tool::Options const&, tool::Terminal&);
template std::unique_ptr<tool::Painter> tool::make_painter_as<float, mgm::Cpu>(mgm::Context<mgm::Cpu>&, tool::Options const&,
                                                                               mgm::models::DrawOptions const&, tool::Terminal&);
