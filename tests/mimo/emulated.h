// What hopper.cuh and CUDA C++ give a kernel, on a processor: every thread of every block is a context of its own, they
// take turns in an order that a seed shuffles, and a copy into shared memory comes when it comes. For few small blocks.

#include <math.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE inline
#define __global__
#define __launch_bounds__(...)

struct uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
template <class To, class From> To as(From from) { To to; std::memcpy(&to, &from, sizeof to); return to; }
inline float __uint_as_float(u32 bits) { return as<float>(bits); }
inline float rsqrtf(float value) { return 1 / sqrtf(value); }
inline u16 rounded(float value) {
    const u32 bits = as<u32>(value);
    return isnan(value) ? 0x7fff : (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

namespace emulated {

constexpr size_t STACK = 64 << 10;

struct Meeting { u32 there = 0, ended = 0; };  // of threads that wait for each other
struct Warp { u64 slots[2][32]; Meeting meeting; };
struct Block {
    std::vector<char> memory;
    std::vector<Warp> warps;
    Meeting all, others;
    int threads;
};
struct Copy { char* to; const char* from; size_t bytes; u64* barrier; };
struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    Block* block;
    int number, of_block;
    u32 shuffles = 0;
    bool ended = false;
};
struct Index { u32 x; };

inline Thread* now;
inline ucontext_t scheduler;
inline std::deque<Copy> copies;
inline u64 changes;  // whatever a waiting thread may wait for
inline void (*kernel)();

inline void rest() { swapcontext(&now->context, &scheduler); }
inline void meet(Meeting& meeting, u32 threads) {
    const u32 mine = meeting.ended;
    changes++;
    if (++meeting.there == threads) meeting.there = 0, meeting.ended++;
    while (meeting.ended == mine) rest();
}
inline Warp& warp() { return now->block->warps[now->number / 32]; }
template <class T> T exchanged(T value, int lane) {
    u64* slots = warp().slots[now->shuffles++ % 2];
    slots[now->number % 32] = 0;
    std::memcpy(&slots[now->number % 32], &value, sizeof value);
    meet(warp().meeting, 32);
    T found;
    std::memcpy(&found, &slots[lane], sizeof found);
    return found;
}

// A barrier's 64 bits: its arrivals, those that are missing, bytes that are missing, phases that ended.
struct Barrier { u16 arrivals; int16_t missing; u32 bytes : 24, phase : 8; };
inline void settle(u64* at, Barrier b) {
    if (b.missing == 0 && b.bytes == 0) b.missing = (int16_t)b.arrivals, b.phase++;
    *at = as<u64>(b);
    changes++;
}
inline void bring_one() {
    const Copy copy = copies.front();
    copies.pop_front();
    std::memcpy(copy.to, copy.from, copy.bytes);
    Barrier b = as<Barrier>(*copy.barrier);
    b.bytes -= (u32)copy.bytes;
    settle(copy.barrier, b);
}
inline void begin_thread() {
    kernel();
    now->ended = true;
    changes++;
    rest();
}

// Runs a kernel to its end; false: its threads wait for each other for ever.
inline bool run(void (*what)(), int blocks, int threads, size_t shared_bytes, u32 seed) {
    kernel = what;
    copies.clear();
    std::mt19937 chance(seed);
    std::vector<std::unique_ptr<Block>> grid;
    std::vector<std::unique_ptr<Thread>> all;
    for (int of_block = 0; of_block < blocks; of_block++) {
        auto block = std::make_unique<Block>();
        block->memory.assign(shared_bytes + 1024, (char)0xa5);
        block->warps.resize(threads / 32);
        block->threads = threads;
        for (int number = 0; number < threads; number++) {
            auto thread = std::make_unique<Thread>();
            thread->stack.reset(new char[STACK]);
            thread->block = block.get(), thread->number = number, thread->of_block = of_block;
            getcontext(&thread->context);
            thread->context.uc_stack.ss_sp = thread->stack.get();
            thread->context.uc_stack.ss_size = STACK;
            thread->context.uc_link = nullptr;
            makecontext(&thread->context, begin_thread, 0);
            all.push_back(std::move(thread));
        }
        grid.push_back(std::move(block));
    }
    for (int idle = 0; !all.empty();) {
        const u64 before = changes;
        std::shuffle(all.begin(), all.end(), chance);
        for (auto& thread : all) {
            now = thread.get();
            swapcontext(&scheduler, &now->context);
        }
        all.erase(std::remove_if(all.begin(), all.end(), [](auto& thread) { return thread->ended; }), all.end());
        std::shuffle(copies.begin(), copies.end(), chance);
        for (size_t some = copies.empty() ? 0 : 1 + chance() % copies.size(); some; some--) bring_one();
        idle = before == changes ? idle + 1 : 0;
        if (idle > 2) return false;
    }
    return true;
}

}  // namespace emulated

#define threadIdx (emulated::Index{(u32)emulated::now->number})
#define blockIdx (emulated::Index{(u32)emulated::now->of_block})

inline char* shared_memory() { return (char*)(((uintptr_t)emulated::now->block->memory.data() + 1023) & ~(uintptr_t)1023); }
inline void put(u32* at, u32 word) { *at = word, emulated::changes++; }
inline u32 get(const u32* at) {
    emulated::rest();
    return *at;
}
inline uint4 get_four(const u32* at) {
    emulated::rest();
    return *(const uint4*)at;
}
inline void __syncthreads() { emulated::meet(emulated::now->block->all, emulated::now->block->threads); }
inline void __syncwarp() { emulated::meet(emulated::warp().meeting, 32); }
template <int THREADS> void meet_others() { emulated::meet(emulated::now->block->others, THREADS); }
template <class T> T __shfl_sync(u32, T value, int lane) { return emulated::exchanged(value, lane); }
template <class T> T __shfl_xor_sync(u32, T value, int gap) {
    return emulated::exchanged(value, emulated::now->number % 32 ^ gap);
}
inline void begin(u64* at, u32 arrivals) { *at = as<u64>(emulated::Barrier{(u16)arrivals, (int16_t)arrivals, 0, 0}); }
inline void begun() {}
inline void arrive(u64* at) {
    auto b = as<emulated::Barrier>(*at);
    b.missing--;
    emulated::settle(at, b);
}
inline void wait(u64* at, u32 parity) {
    while ((as<emulated::Barrier>(*at).phase & 1) == parity) emulated::rest();
}
template <int BYTES> void bring_to(char* to, const char* from, u64* barrier) {
    auto b = as<emulated::Barrier>(*barrier);
    b.missing--, b.bytes += BYTES;
    *barrier = as<u64>(b);
    emulated::copies.push_back({to, from, BYTES, barrier});
}
