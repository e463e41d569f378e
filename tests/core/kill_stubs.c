#include "stepkill.h"
const scenario segment_scenarios[] = {{.name = NULL}};
const scenario shut_scenarios[] = {{.name = NULL}};
const scenario block_scenarios[] = {{.name = NULL}};
const scenario lock_scenarios[] = {{.name = NULL}};
const scenario heap_scenarios[] = {{.name = NULL}};
const scenario sweep_scenarios[] = {{.name = NULL}};
const scenario broken_scenarios[] = {{.name = NULL}};
