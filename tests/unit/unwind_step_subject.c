/*
 * Functions of every shape that compilers give a stack frame: what tests/unit/unwind_step_host.c steps through. They
 * are compiled as a driver is, by each compiler and at each level of optimisation; what they compute does not matter.
 */
#include <stdint.h>

#define NOINLINE __attribute__((noinline))

typedef uint64_t STEP_WORD;

STEP_WORD StepSubject(void);

static volatile STEP_WORD StepSink;

static NOINLINE STEP_WORD StepLeaf(STEP_WORD A, STEP_WORD B)
{
    return A * 3 + B;
}

static NOINLINE STEP_WORD StepCaller(STEP_WORD A)
{
    StepSink = A;
    return StepLeaf(A, 2) + 1;
}

static NOINLINE STEP_WORD StepTailCall(STEP_WORD A)
{
    StepSink++;
    return StepLeaf(A, 5);
}

/* More values live over calls than there are nonvolatile registers. */
static NOINLINE STEP_WORD StepManyRegisters(STEP_WORD A)
{
    STEP_WORD b = StepCaller(A);
    STEP_WORD c = StepCaller(b);
    STEP_WORD d = StepCaller(c);
    STEP_WORD e = StepCaller(d);
    STEP_WORD f = StepCaller(e);
    STEP_WORD g = StepCaller(f);
    STEP_WORD h = StepCaller(g);
    STEP_WORD i = StepCaller(h);
    STEP_WORD j = StepCaller(i);
    return A * b + c * d + e * f + g * h + i * j;
}

static NOINLINE STEP_WORD StepLargeFrame(STEP_WORD A)
{
    volatile char buffer[3000];
    for (int i = 0; i < 3000; i += 600) {
        buffer[i] = (char)A;
    }
    return StepCaller((STEP_WORD)buffer[1200]) + (STEP_WORD)buffer[600];
}

static NOINLINE STEP_WORD StepMediumFrame(STEP_WORD A)
{
    volatile char buffer[300];
    for (int i = 0; i < 300; i += 60) {
        buffer[i] = (char)A;
    }
    return StepCaller((STEP_WORD)buffer[120]) + (STEP_WORD)buffer[60];
}

static NOINLINE STEP_WORD StepDynamicFrame(STEP_WORD A)
{
    volatile STEP_WORD array[(A & 15) + 1];
    array[0] = A;
    array[A & 15] = 7;
    return StepManyRegisters(A) + array[0];
}

static NOINLINE double StepScale(double A)
{
    StepSink++;
    return A * 1.5;
}

static NOINLINE STEP_WORD StepManyVectors(STEP_WORD A)
{
    double a = (double)A;
    double b = a + 1;
    double c = a * 2;
    double d = 3;
    double e = 4;
    double f = 5;
    double g = 6;
    double h = 7;
    double i = 8;
    for (int round = 0; round < 2; round++) {
        a = StepScale(b);
        b = StepScale(c);
        c = StepScale(d);
        d = StepScale(e) + a;
        e = StepScale(f) + b;
        f = StepScale(g) + c;
        g = StepScale(h) + d;
        h = StepScale(i) + e;
        i = a + b + c + d + e + f + g + h;
    }
    return (STEP_WORD)(a + b + c + d + e + f + g + h + i);
}

static NOINLINE STEP_WORD StepLargeFrameWithVectors(STEP_WORD A)
{
    volatile char buffer[5000];
    buffer[A & 1023] = 1;
    buffer[4999] = 2;
    return StepManyVectors(A) + (STEP_WORD)buffer[A & 1023];
}

/* The frame is needed on the rare path alone. */
static NOINLINE STEP_WORD StepShrinkWrapped(STEP_WORD A)
{
    if (__builtin_expect((A & 1) != 0, 1)) {
        return A * 2;
    }
    STEP_WORD b = StepCaller(A);
    STEP_WORD c = StepCaller(b);
    return A * b * c + StepManyRegisters(A);
}

static __attribute__((cold, noinline)) STEP_WORD StepCold(STEP_WORD A)
{
    StepSink += A;
    return StepCaller(A);
}

static NOINLINE STEP_WORD StepWithColdPath(STEP_WORD A)
{
    STEP_WORD b = StepCaller(A);
    if (__builtin_expect(A == 6, 0)) {
        b += StepCold(A);
        StepSink = b;
    }
    return A + b + StepManyRegisters(A);
}

static NOINLINE STEP_WORD StepRecurse(STEP_WORD Depth)
{
    volatile STEP_WORD depth = Depth;
    return Depth == 0 ? StepCaller(1) : StepRecurse(Depth - 1) + depth;
}

static NOINLINE STEP_WORD StepStackArguments(STEP_WORD A, STEP_WORD B, STEP_WORD C, STEP_WORD D, STEP_WORD E,
                                             STEP_WORD F)
{
    return StepCaller(A + B) + C * D + E * F;
}

static STEP_WORD (*volatile StepTable[])(STEP_WORD) = { StepCaller, StepTailCall, StepMediumFrame };

static NOINLINE STEP_WORD StepIndirectTailCall(STEP_WORD A)
{
    STEP_WORD b = StepCaller(A);
    STEP_WORD c = StepCaller(b);
    return StepTable[A % 3](A * b * c);
}

static NOINLINE STEP_WORD StepManyExits(STEP_WORD A)
{
    STEP_WORD b = StepCaller(A);
    switch (A & 7) {
    case 0:
        return b;
    case 1:
        return StepTailCall(b);
    case 2:
        return StepStackArguments(A, b, 1, 2, 3, 4);
    case 3:
        return StepTable[0](b) + StepLargeFrame(b);
    case 4:
        return StepManyVectors(b);
    default:
        return StepIndirectTailCall(b) + A;
    }
}

STEP_WORD StepSubject(void)
{
    STEP_WORD sum = 0;
    for (STEP_WORD i = 0; i < 8; i++) {
        sum += StepManyExits(i) + StepIndirectTailCall(i) + StepWithColdPath(i) + StepShrinkWrapped(i);
    }
    return sum + StepDynamicFrame(5) + StepLargeFrameWithVectors(100) + StepRecurse(4);
}
