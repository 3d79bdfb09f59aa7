// ICE_API marks what a shared libice shows to its users. All else in it is hidden: it loads faster,
// and nobody can lean on what these headers do not promise.
#pragma once

#define ICE_API __attribute__((visibility("default")))
