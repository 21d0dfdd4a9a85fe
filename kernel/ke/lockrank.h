/*
 * The order in which the kernel's own locks may be taken: lower first. A checked build asserts it at each acquire.
 */
#pragma once

typedef enum _LOCK_RANK {
    LOCK_TEST = 1,  /* tests only: below everything */
    LOCK_OBJECT,    /* handle tables, name space */
    LOCK_DRIVER,    /* the loaded-driver list */
    LOCK_TRACKER,   /* ownership records */
    LOCK_SPACE,     /* an address space */
    LOCK_BIGPOOL,   /* table of page-sized pool blocks */
    LOCK_POOL,      /* a pool's free lists */
    LOCK_POOL_VA,   /* pool address ranges */
    LOCK_PTE_DRAIN, /* emptying the caches of system PTEs */
    LOCK_SYSPTE,    /* a PTE region */
    LOCK_TABLES,    /* making page tables of kernel space */
    LOCK_PFN,       /* page lists */
    LOCK_WORK_QUEUE,
    LOCK_APC_QUEUE,
    LOCK_DISPATCHER, /* threads, waits, timers */
    LOCK_PRCB,       /* a processor's DPC queue; taken with interrupts off */
    LOCK_IMAGE_LIST, /* loaded images; readers take nothing */
} LOCK_RANK;
