// Exceptions: what C++ promises of them, through C, and in threads that take turns while they are handled.
extern "C" {
#include "ctest.h"
}

#include <sched.h>

#include <fstream>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

extern "C" void call_from_c(void (*function)(int), int argument);

static int destroyed;

struct Guard {
  ~Guard() { destroyed++; }
};

[[gnu::noinline]] static int throws_above_two(int number) {
  Guard guard;
  if (number > 2) throw std::overflow_error("more than two");
  return number;
}

static void catches() {
  try {
    throws_above_two(3);
    CHECK(!"not reached");
  } catch (const std::exception &error) {
    CHECK(std::string(error.what()) == "more than two");
  }
  CHECK(destroyed == 1);
  CHECK(throws_above_two(2) == 2);
  CHECK(destroyed == 2);
}

static void catches_what_the_library_throws() {
  try {
    CHECK(!std::vector<int>().at(3));
  } catch (const std::out_of_range &) {
    destroyed++;
  }
  try {
    CHECK(!std::stoi("no number"));
  } catch (const std::invalid_argument &) {
    destroyed++;
  }
  try {
    ::operator delete(::operator new(SIZE_MAX - 4096));
    CHECK(!"not reached");
  } catch (const std::bad_alloc &) {
    destroyed++;
  }
  CHECK(destroyed == 3);
}

static void throws_again() {
  std::string seen;
  try {
    try {
      throws_above_two(9);
    } catch (...) {
      seen += "first ";
      throw;
    }
  } catch (const std::overflow_error &) {
    seen += "second";
  }
  CHECK(seen == "first second");
}

static void throws_through_c() {
  try {
    call_from_c([](int number) { throws_above_two(number); }, 7);
    CHECK(!"not reached");
  } catch (const std::runtime_error &error) {
    CHECK(std::string(error.what()) == "more than two");
  }
}

// Each leaves something to collect for the host.
static void throws_a_million_times() {
  int caught = 0;
  for (int i = 0; i < 1000000; i++) {
    try {
      throws_above_two(i | 4);
    } catch (const std::overflow_error &) {
      caught++;
    }
  }
  CHECK(caught == 1000000);
}

// A destructor gives way to other threads, which throw as well, while an exception is on its way.
struct Yields {
  ~Yields() {
    for (int i = 0; i < 3; i++) sched_yield();
  }
};

static void *throw_in_turns(void *own) {
  for (int i = 0; i < 2000; i++) {
    try {
      Yields yields;
      throw std::runtime_error(std::to_string((intptr_t)own));
    } catch (const std::exception &error) {
      sched_yield();
      CHECK(std::stoi(error.what()) == (intptr_t)own);
      try {
        throw (intptr_t)own * 2;
      } catch (intptr_t inner) {
        sched_yield();
        CHECK(inner == (intptr_t)own * 2);
      }
      CHECK(std::uncaught_exceptions() == 0);
    }
  }
  return nullptr;
}

static void threads_throw_in_turns() {
  pthread_t threads[8];
  for (intptr_t i = 0; i < 8; i++) threads[i] = start(throw_in_turns, (void *)i);
  for (auto thread : threads) join(thread);
}

static void threads_of_the_library() {
  std::mutex mutex;
  int sum = 0;
  std::vector<std::thread> threads;
  for (int i = 1; i <= 4; i++)
    threads.emplace_back([&, i] {
      std::lock_guard<std::mutex> lock(mutex);
      sum += i;
    });
  for (auto &thread : threads) thread.join();
  CHECK(sum == 10);
  auto failing = std::async(std::launch::async, throws_above_two, 5);
  try {
    (void)failing.get();
    CHECK(!"not reached");
  } catch (const std::overflow_error &) {
  }
}

static void files() {
  std::ifstream missing("/no/such/file");
  CHECK(!missing.is_open());
}

static void caught_by_nobody() { throws_above_two(3); }

static void thrown_out_of_noexcept() {
  try {
    []() noexcept { throws_above_two(3); }();
  } catch (...) {
  }
}

extern "C" const struct test_case exception_cases[] = {
    {.name = "catches", .run = catches, .expect = nullptr, .needs = nullptr},
    {.name = "catches_what_the_library_throws", .run = catches_what_the_library_throws, .expect = nullptr, .needs = nullptr},
    {.name = "throws_again", .run = throws_again, .expect = nullptr, .needs = nullptr},
    {.name = "throws_through_c", .run = throws_through_c, .expect = nullptr, .needs = nullptr},
    {.name = "throws_a_million_times", .run = throws_a_million_times, .expect = nullptr, .needs = nullptr},
    {.name = "threads_throw_in_turns", .run = threads_throw_in_turns, .expect = nullptr, .needs = nullptr},
    {.name = "threads_of_the_library", .run = threads_of_the_library, .expect = nullptr, .needs = nullptr},
    {.name = "files_of_the_library", .run = files, .expect = nullptr, .needs = nullptr},
    {.name = "caught_by_nobody", .run = caught_by_nobody, .expect = "abort", .needs = nullptr},
    {.name = "thrown_out_of_noexcept", .run = thrown_out_of_noexcept, .expect = "abort", .needs = nullptr},
    {.name = nullptr, .run = nullptr, .expect = nullptr, .needs = nullptr},
};
