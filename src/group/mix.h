/*-------------------------------------------------------------------------
 *
 * mix.h
 *	  A fast mix of the bits of one word, for the engine's hash tables.
 *
 * PostgreSQL's hash functions for one word are made for stored hash values and
 * take longer than everything else that is done to find a group; its
 * murmurhash64() is there from version 16 on only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_MIX_H
#define BATCHAGG_MIX_H

/*
 * The finisher of Austin Appleby's MurmurHash3 (fmix64), which is in the
 * public domain: every bit of the word changes about half of the result's.
 */
static inline uint64
mix64(uint64 word)
{
	word ^= word >> 33;
	word *= UINT64CONST(0xff51afd7ed558ccd);
	word ^= word >> 33;
	word *= UINT64CONST(0xc4ceb9fe1a85ec53);
	word ^= word >> 33;
	return word;
}

#endif							/* BATCHAGG_MIX_H */
