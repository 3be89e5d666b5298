// All layers of the local decoder for one row, by blocks that stay on their multiprocessors from the first to the last.
//
// One layer is four products, each of which needs all of the one before. As kernels of their own they would each wait
// for the last block of the one before to end, and only then begin to ask for weights: twice as long as reading the
// weights takes. Here a warp of every block does nothing but bring weights into shared memory, always a few ahead, and
// what a block has made it tells the others through memory: a number and its tag are one word, so whoever finds the tag
// has the number, and nobody waits for more than what they need.
//
// A block has one head, or sixteen rows of the output projection; and every block 32 gates, as many values, and eight
// rows of the last product. Warps each take a stretch of the inputs; sums are float32 and in one order, whatever comes
// first. Numbers that are kept or told are bfloat16.

// A lane has 4 inputs of the narrow products and 16 of the last one; that and what a block's first warp ends fix the
// shape by the number of warps, which is 8 for the published checkpoint. One more warp brings weights.
constexpr int WIDTH = 128 * WARPS, HIDDEN = 512 * WARPS, DIM = 16, HEADS = WIDTH / DIM, BLOCKS = 2 * HEADS;
constexpr int MOST_STEPS = 16;
constexpr int CHUNK = 8 * WIDTH * 2;  // bytes of weights that travel as one: eight rows, or two of the last product
constexpr int STAGES = 13;            // chunks that fit into shared memory
// on their way at once, of each block: with fewer, memory is not busy; with more, what is told waits behind them
constexpr int FLIGHT = 2;
constexpr int O_ROWS = WIDTH / (BLOCKS - HEADS), FFN_ROWS = HIDDEN / BLOCKS, DOWN_ROWS = WIDTH / BLOCKS;
constexpr int DOWN_EACH = CHUNK / (HIDDEN * 2);

static_assert(O_ROWS == 16 && FFN_ROWS == 32 && DOWN_ROWS == 8 && DOWN_EACH == 2, "what a block's first warp ends");

struct Shared {
    char chunks[STAGES][CHUNK];
    u64 full[STAGES], empty[STAGES];
    float head[WARPS][3 * DIM], o[WARPS][O_ROWS], ffn[WARPS][2 * FFN_ROWS], down[WARPS][DOWN_ROWS];  // parts of sums
    float squares[2][WARPS];
};
static_assert(sizeof(Shared) <= SHARED_BYTES, "what a launch asks for");

INLINE float low(u32 pair) { return __uint_as_float(pair << 16); }
INLINE float high(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }
INLINE float wide(u16 bits) { return __uint_as_float((u32)bits << 16); }

INLINE float4 times(float4 x, float4 y) { return make_float4(x.x * y.x, x.y * y.y, x.z * y.z, x.w * y.w); }
INLINE float4 four(const u16* at) {
    const uint2 w = *(const uint2*)at;
    return make_float4(low(w.x), high(w.x), low(w.y), high(w.y));
}
INLINE float dot(uint2 w, float4 x) { return low(w.x) * x.x + high(w.x) * x.y + low(w.y) * x.z + high(w.y) * x.w; }

// ---- what blocks tell each other

INLINE void tell(u32* at, u16 bits, u32 tag) { put(at, (u32)bits << 16 | tag); }
INLINE float hear(const u32* at, u32 tag) {
    u32 word;
    do word = get(at);
    while ((word ^ tag) & 0xffffu);
    return high(word);
}
INLINE bool lacks(uint4 w, u32 tag) { return ((w.x ^ tag) | (w.y ^ tag) | (w.z ^ tag) | (w.w ^ tag)) & 0xffffu; }
INLINE float4 numbers(uint4 w) { return make_float4(high(w.x), high(w.y), high(w.z), high(w.w)); }

// One lane asks until its warp's first word is there: what all lanes of all blocks ask for again and again keeps what
// they wait for from coming.
INLINE void await(const u32* at, u32 tag, int lane) {
    if (lane == 0) hear(at, tag);
    __syncwarp();
}
INLINE float4 heard(const u32* at, u32 tag, int lane) {
    await(at, tag, lane);
    uint4 w;
    do w = get_four(at);
    while (lacks(w, tag));
    return numbers(w);
}

// ---- what the warps of a block do together

INLINE void meet() { meet_others<WARPS * 32>(); }

// Halves how many values each lane has, by giving the others to the lane that is GAP apart, until one is left.
template <int GAP>
INLINE void dealt(float* v, int lane) {
#pragma unroll
    for (int i = 0; i < GAP; i++) {
        const bool upper = lane & GAP;
        const float give = upper ? v[i] : v[i + GAP], keep = upper ? v[i + GAP] : v[i];
        v[i] = keep + __shfl_xor_sync(~0u, give, GAP);
    }
    if constexpr (GAP > 1) dealt<GAP / 2>(v, lane);
}

// Sums over LANES neighbouring lanes of N values: lane l has that of value l % N.
template <int LANES = 32, int N>
INLINE float gathered(float (&v)[N], int lane) {
    dealt<N / 2>(v, lane);
    float sum = v[0];
#pragma unroll
    for (int gap = N; gap < LANES; gap <<= 1) sum += __shfl_xor_sync(~0u, sum, gap);
    return sum;
}
template <int ROWS>
INLINE float total(const float (*parts)[ROWS], int row) {
    float sum = 0;
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) sum += parts[warp][row];
    return sum;
}
INLINE float squared(float4 x) {
    float sum = x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
#pragma unroll
    for (int gap = 16; gap; gap >>= 1) sum += __shfl_xor_sync(~0u, sum, gap);
    return sum;
}
INLINE float root_of(const float* squares, float eps) {
    float sum = 0;
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) sum += squares[warp];
    return rsqrtf(sum / WIDTH + eps);
}

// ---- weights

// The warp that brings them, by one of its lanes.
struct Supply {
    Shared& shared;
    u32 stage = 0, parity = 1, arriving = 0, parity_there = 0, sent = 0;

    INLINE void bring(const char* from, int count) {
        for (; count; count--, from += CHUNK) {
            wait(&shared.empty[stage], parity);
            if (sent++ >= FLIGHT) {
                wait(&shared.full[arriving], parity_there);
                if (++arriving == STAGES) arriving = 0, parity_there ^= 1;
            }
            bring_to<CHUNK>(shared.chunks[stage], from, &shared.full[stage]);
            if (++stage == STAGES) stage = 0, parity ^= 1;
        }
    }
};

// A warp that uses them. All warps see all chunks, in the order in which they are brought.
struct Use {
    Shared& shared;
    int lane;
    u32 stage = 0, parity = 0;

    INLINE const char* next() {
        wait(&shared.full[stage], parity);
        return shared.chunks[stage];
    }
    INLINE void done() {
        __syncwarp();
        if (lane == 0) arrive(&shared.empty[stage]);
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
    // The next N rows times x, of which every lane has four inputs.
    template <int N>
    INLINE float product(float4 x, int place) {
        float sums[N];
#pragma unroll
        for (int first = 0; first < N; first += 8) {
            const char* from = next() + place * 2;
#pragma unroll
            for (int row = 0; row < 8; row++) sums[first + row] = dot(*(const uint2*)(from + row * WIDTH * 2), x);
            done();
        }
        return gathered(sums, lane);
    }
};

// x, out [WIDTH]; weights [layers][4]: where q, k, v, the output projection, gates and values, and the last product
// are; norms [layers][2][WIDTH]; biases [layers][3][WIDTH]; cos, sin [positions][DIM]; keys, values: see Cells.
// room [3 * WIDTH + HIDDEN]: zeros, for what is told.
extern "C" __global__ void __launch_bounds__((WARPS + 1) * 32, 1) stack(
    const u16* x, u16* out, const u64* weights, const u16* norms, const u16* biases, const u16* cos, const u16* sin,
    u16* keys, u16* values, const long long* at, u32* room, int layers, float eps, float scale, int of_layer,
    int of_head, int of_position) {
    Shared& shared = *(Shared*)shared_memory();
    const int block = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const bool has_head = block < HEADS;
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < STAGES; stage++) {
            begin(&shared.full[stage], 1);
            begin(&shared.empty[stage], WARPS);
        }
        begun();
    }
    __syncthreads();

    if (warp == WARPS) {
        if (lane) return;
        Supply supply{shared};
        for (int layer = 0; layer < layers; layer++) {
            const char* const* from = (const char* const*)(weights + layer * 4);
            if (has_head)
                for (int part = 0; part < 3; part++) supply.bring(from[0] + (part * WIDTH + block * DIM) * WIDTH * 2, 2);
            else
                supply.bring(from[1] + (block - HEADS) * O_ROWS * WIDTH * 2, O_ROWS / 8);
            for (int part = 0; part < 2; part++)
                supply.bring(from[2] + (part * HIDDEN + block * FFN_ROWS) * WIDTH * 2, FFN_ROWS / 8);
            supply.bring(from[3] + block * DOWN_ROWS * HIDDEN * 2, DOWN_ROWS / DOWN_EACH);
        }
        return;
    }

    Use use{shared, lane};
    const int position = (int)*at, place = warp * 128 + lane * 4, dim = lane % DIM, half = lane / DIM;
    const float c = wide(cos[position * DIM + dim]), s = wide(sin[position * DIM + dim]);
    u32 *told_x = room, *told_seen = room + WIDTH, *told_middle = room + 2 * WIDTH, *told_hidden = room + 3 * WIDTH;

    // What stands in the room is written over a layer later by whoever wrote it, which is after all have heard it:
    // nobody gets to tell anything that does not follow from what everybody told after hearing it.
    for (int layer = 0; layer < layers; layer++) {
        const u32 tag = layer + 1;
        const float4 ffn_norm = four(norms + (layer * 2 + 1) * WIDTH + place);
        if (has_head) {  // q, k and v, of eight rows each twice; the first warp attends
            const float4 norm = four(norms + layer * 2 * WIDTH + place);
            u16* const key = keys + layer * of_layer + block * of_head + dim;
            u16* const value = values + layer * of_layer + block * of_head + dim;
            const u16* const bias = biases + layer * 3 * WIDTH + block * DIM + dim;
            float qk_bias = 0, v_bias = 0;
            u16 k[MOST_STEPS / 2], v[MOST_STEPS / 2];  // of steps 2 * i + half
            if (warp == 0) {
                qk_bias = wide(bias[half * WIDTH]), v_bias = wide(bias[2 * WIDTH]);
#pragma unroll
                for (int i = 0; i < MOST_STEPS / 2; i++) {
                    const bool known = 2 * i + half < position;
                    k[i] = known ? key[(2 * i + half) * of_position] : (u16)0;
                    v[i] = known ? value[(2 * i + half) * of_position] : (u16)0;
                }
            }
            const float4 given = layer ? heard(told_x + place, tag, lane) : four(x + place);
            const float square = squared(given);
            if (lane == 0) shared.squares[0][warp] = square;
            const float4 normed = times(given, norm);
            shared.head[warp][lane] = use.product<2 * DIM>(normed, place);
            const float sum_v = use.product<DIM>(normed, place);
            if (half == 0) shared.head[warp][2 * DIM + lane] = sum_v;
            meet();
            if (warp == 0) {  // lanes have q in their lower half, k in the upper
                const float root = root_of(shared.squares[0], eps);
                const float mine = wide(rounded(total(shared.head, lane) * root + qk_bias));
                const u16 new_v = rounded(total(shared.head, 2 * DIM + dim) * root + v_bias);
                const float other = __shfl_xor_sync(~0u, mine, DIM / 2);
                const u16 turned = rounded(mine * c + other * s);
                const float q = __shfl_sync(~0u, wide(turned), dim);
                const u16 new_k = (u16)__shfl_sync(~0u, (u32)turned, DIM + dim);
                if (half == 0) key[position * of_position] = new_k;
                else value[position * of_position] = new_v;
                float scores[MOST_STEPS / 2];
#pragma unroll
                for (int i = 0; i < MOST_STEPS / 2; i++) {
                    if (2 * i + half == position) k[i] = new_k, v[i] = new_v;
                    scores[i] = q * wide(k[i]);
                }
                float score = gathered<DIM>(scores, lane) * scale;  // of step 2 * (lane % 8) + half
                if (2 * (lane % 8) + half > position) score = -1e30f;
                float peak = score;
#pragma unroll
                for (int gap = 16; gap; gap >>= 1) peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, gap));
                const float share = expf(score - peak);
                float seen = 0, sum = 0;
#pragma unroll
                for (int i = 0; i < MOST_STEPS / 2; i++) {
                    const float part = __shfl_sync(~0u, share, half * DIM + i);
                    sum += part;
                    seen += part * wide(v[i]);
                }
                seen += __shfl_xor_sync(~0u, seen, DIM);
                sum += __shfl_xor_sync(~0u, sum, DIM);
                if (half == 0) tell(told_seen + block * DIM + dim, rounded(seen / sum), tag);
            }
        } else {  // rows of the output projection, onto what came in
            const int row = (block - HEADS) * O_ROWS + dim;
            float had = 0;
            if (warp == 0 && half == 0) had = layer ? hear(told_x + row, tag) : wide(x[row]);
            const float sum = use.product<O_ROWS>(heard(told_seen + place, tag, lane), place);
            if (half == 0) shared.o[warp][dim] = sum;
            meet();
            if (warp == 0 && half == 0) tell(told_middle + row, rounded(had + total(shared.o, dim)), tag);
        }

        const float4 given = heard(told_middle + place, tag, lane);
        const float square = squared(given);
        if (lane == 0) shared.squares[1][warp] = square;
        const float4 normed = times(given, ffn_norm);
#pragma unroll
        for (int part = 0; part < 2; part++)
            shared.ffn[warp][part * FFN_ROWS + lane] = use.product<FFN_ROWS>(normed, place);
        meet();
        if (warp == 0) {
            const float root = root_of(shared.squares[1], eps);
            const float gate = total(shared.ffn, lane) * root, value = total(shared.ffn, FFN_ROWS + lane) * root;
            tell(told_hidden + block * FFN_ROWS + lane, rounded(gate / (1 + expf(-gate)) * value), tag);
        }

        const int row = block * DOWN_ROWS + lane;
        float had = 0;
        if (warp == 0 && lane < DOWN_ROWS) had = hear(told_middle + row, tag);
        const u32* from = told_hidden + warp * 512 + lane * 8;
        await(from, tag, lane);
        uint4 w[4];
        do w[0] = get_four(from), w[1] = get_four(from + 4), w[2] = get_four(from + 256), w[3] = get_four(from + 260);
        while (lacks(w[0], tag) || lacks(w[1], tag) || lacks(w[2], tag) || lacks(w[3], tag));
        const float4 h[4] = {numbers(w[0]), numbers(w[1]), numbers(w[2]), numbers(w[3])};
        float sums[DOWN_ROWS];
#pragma unroll
        for (int first = 0; first < DOWN_ROWS; first += DOWN_EACH) {
            const char* chunk = use.next() + warp * 1024 + lane * 16;
#pragma unroll
            for (int each = 0; each < DOWN_EACH; each++) {
                const uint4 a = *(const uint4*)(chunk + each * HIDDEN * 2);
                const uint4 b = *(const uint4*)(chunk + each * HIDDEN * 2 + 512);
                sums[first + each] = dot(make_uint2(a.x, a.y), h[0]) + dot(make_uint2(a.z, a.w), h[1]) +
                                     dot(make_uint2(b.x, b.y), h[2]) + dot(make_uint2(b.z, b.w), h[3]);
            }
            use.done();
        }
        const float sum = gathered(sums, lane);
        if (lane < DOWN_ROWS) shared.down[warp][lane] = sum;
        meet();
        if (warp == 0 && lane < DOWN_ROWS) {
            const u16 made = rounded(had + total(shared.down, lane));
            if (layer + 1 < layers) tell(told_x + row, made, tag + 1);
            else out[row] = made;
        }
    }
}
