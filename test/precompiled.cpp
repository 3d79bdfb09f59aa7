// The one instantiation of what precompiled.hpp says is elsewhere.
#define ICE_TEMPLATE template class

#include "precompiled.hpp"
