// Deadlines of parked threads: a binary heap, so that hundreds of threads in timed waits (every thread
// that waits for CPython's GIL is one) cost a logarithm each.
#include "coop.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };
static struct __pthread *first_heap[FIRST_CAPACITY];
static struct __pthread **heap = first_heap;  // 1-based: heap[1] is the earliest
static size_t used, capacity = FIRST_CAPACITY;

static void place(size_t slot, struct __pthread *thread) {
  heap[slot] = thread;
  thread->timer_slot = slot;
}

static void sift_up(size_t slot, struct __pthread *thread) {
  for (; slot > 1 && heap[slot / 2]->deadline > thread->deadline; slot /= 2)
    place(slot, heap[slot / 2]);
  place(slot, thread);
}

static void sift_down(size_t slot, struct __pthread *thread) {
  for (size_t child; (child = slot * 2) <= used; slot = child) {
    if (child < used && heap[child + 1]->deadline < heap[child]->deadline) child++;
    if (heap[child]->deadline >= thread->deadline) break;
    place(slot, heap[child]);
  }
  place(slot, thread);
}

// Called when a thread is created: parking must never fail for want of memory.
bool coop_reserve_timers(size_t threads) {
  if (threads < capacity) return true;
  struct __pthread **larger = malloc(threads * 2 * sizeof *larger);
  if (!larger) return false;
  memcpy(larger, heap, capacity * sizeof *heap);
  if (heap != first_heap) free(heap);
  heap = larger;
  capacity = threads * 2;
  return true;
}

void coop_timer_insert(struct __pthread *thread) { sift_up(++used, thread); }

void coop_timer_remove(struct __pthread *thread) {
  size_t slot = thread->timer_slot;
  if (!slot) return;
  thread->timer_slot = 0;
  struct __pthread *last = heap[used--];
  if (last == thread) return;
  if (slot > 1 && heap[slot / 2]->deadline > last->deadline)
    sift_up(slot, last);
  else
    sift_down(slot, last);
}

struct __pthread *coop_timer_first(void) { return used ? heap[1] : NULL; }
