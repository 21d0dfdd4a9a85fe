/*
 * Sub-codes (P1) of the pool's bug checks, with what the other parameters say; one not named is reserved.
 */
#pragma once

/* BAD_POOL_CALLER, 0xC2: bug-check-0xc2--bad-pool-caller.md */
#define EXP_CALLER_FREED_INSIDE  0x06u    /* P3 header of the free block that covers the address, P4 its contents */
#define EXP_CALLER_FREED         0x07u    /* P3 header's contents, P4 address */
#define EXP_CALLER_ALLOCATE_IRQL 0x08u    /* P2 IRQL, P3 pool type, P4 bytes */
#define EXP_CALLER_FREE_IRQL     0x09u    /* P2 IRQL, P3 pool type, P4 address */
#define EXP_CALLER_WRONG_TAG     0x0Au    /* P2 address, P3 the block's tag, P4 the tag given */
#define EXP_CALLER_BAD_PROCESS   0x0Du    /* P2 address, P3 tag, P4 what stands for the process that pays */
#define EXP_CALLER_USER          0x40u    /* P2 address, P3 start of system space */
#define EXP_CALLER_NONPAGED      0x41u    /* P2 address, P3 frame, P4 highest frame: a nonpaged page, but no block */
#define EXP_CALLER_NOT_POOL      0x42u    /* P2 address */
#define EXP_CALLER_NONPAGED_GONE 0x44u    /* P2 address */
#define EXP_CALLER_INVALID       0x46u    /* P2 address */
#define EXP_CALLER_PAGED         0x50u    /* P2 address, P3 page offset in the pool, P4 the pool's bytes */
#define EXP_CALLER_NO_BLOCK      0x99u    /* P2 address */
#define EXP_CALLER_MUST_SUCCEED  0x9Au    /* P2 pool type, P3 bytes, P4 tag */
#define EXP_CALLER_TAG_ZERO      0x9Bu    /* P2 pool type, P3 bytes, P4 caller */
#define EXP_CALLER_TAG_BIG       0x9Cu    /* P2 pool type, P3 bytes, P4 caller */
#define EXP_CALLER_TAG_STRANGE   0x9Du    /* P2 tag, P3 pool type, P4 caller */
#define EXP_CALLER_MIDDLE        0x41286u /* P2 address, P4 page offset in the pool */

/* BAD_POOL_HEADER, 0x19: bug-check-0x19--bad-pool-header.md */
#define EXP_BAD_LIST_LINK   0x03u /* P2 entry, P3 forward link, P4 backward link */
#define EXP_BAD_NEIGHBOURS  0x05u /* P2 one header, P4 the other */
#define EXP_BAD_SIZE_ZERO   0x08u /* P4 header */
#define EXP_BAD_SIZE_LARGE  0x09u /* P2, P4 header */
#define EXP_BAD_FREE_HEADER 0x0Du /* P2 header, P3 its contents */
#define EXP_BAD_FOLLOWING   0x21u /* P2 block, P3 its bytes, P4 what follows it */
#define EXP_BAD_NO_ENTRY    0x22u /* P2 address: a large block that the table does not know, or no longer */
