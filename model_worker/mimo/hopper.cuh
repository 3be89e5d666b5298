// What a kernel needs of a GPU since Hopper that CUDA C++ has no words for, each in a function of its own.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE __device__ __forceinline__

INLINE char* shared_memory() {
    extern __shared__ __align__(1024) char memory[];
    return memory;
}
INLINE u32 shared_at(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// To bfloat16, as PyTorch rounds.
INLINE u16 rounded(float value) {
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// Words that other blocks see at once, in no particular order.
INLINE void put(u32* at, u32 word) { asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(at), "r"(word) : "memory"); }
INLINE u32 get(const u32* at) {
    u32 word;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(word) : "l"(at) : "memory");
    return word;
}
INLINE uint4 get_four(const u32* at) {
    uint4 w;
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w) : "l"(at) : "memory");
    return w;
}

// Waits for so many threads of the block, which are not all of it.
template <int THREADS>
INLINE void meet_others() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }

// Barriers in shared memory: a phase ends with so many arrivals, and when the bytes that were announced are there.
INLINE void begin(u64* barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_at(barrier)), "r"(arrivals) : "memory");
}
INLINE void begun() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
INLINE void arrive(u64* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_at(barrier)) : "memory");
}
INLINE void wait(u64* barrier, u32 parity) {
    asm volatile(
        "{\n.reg .pred p;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra again;\n}"
        ::"r"(shared_at(barrier)), "r"(parity) : "memory");
}

// Copies BYTES to shared memory while the thread goes on, and arrives at the barrier.
template <int BYTES>
INLINE void bring_to(char* to, const char* from, u64* barrier) {
    const u32 full = shared_at(barrier);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full), "n"(BYTES) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 ::"r"(shared_at(to)), "l"(from), "n"(BYTES), "r"(full) : "memory");
}
