// Fibers: several stacks of one thread, which hand the processor to one another themselves. Greenlets stand on them.
//
// The scheduler knows nothing of them: it resumes a thread on the fiber where it parked, and to everybody else
// (locks, thread-specific values, errno, pthread_self) whoever stands on one of a thread's fibers is that thread.
#pragma once

struct coop_fiber;

// A fiber that is to call body(argument), which gives the one to go on with when it ends; null without memory, or where there
// are as many threads and fibers as there may be. It belongs to whichever thread switches to it first.
struct coop_fiber *coop_fiber_new(struct coop_fiber *(*body)(void *), void *argument);
// The one that the running thread stands on.
struct coop_fiber *coop_fiber_current(void);
// Goes on where another fiber of this thread left off. Returns when somebody comes back.
void coop_fiber_switch(struct coop_fiber *to);
