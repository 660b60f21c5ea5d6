// Shard hash: which shard an entity id falls into.
//
// Published and frozen: members of all versions, and programs in other languages, compute the same number, and stored
// requests keep the shard that it gave them. Another hash would be another cluster.

import { shardIdOf, type ShardId } from "../data/shard-id.ts";

const UTF8 = new TextEncoder();
/** Takes the bytes of most names: to make an array for each would take longer than to hash them. */
const SHORT = new Uint8Array(256);

/**
 * The number of the shard of an entity: MurmurHash3 x86 32 with seed 0 over the UTF-8 bytes of `entityId`, read as an
 * unsigned number, modulo `shardsPerGroup`. A lone surrogate counts as U+FFFD. The entity's type plays no part.
 */
export function shardNumberOf(entityId: string, shardsPerGroup: number): number {
  return hashOfName(entityId, 0) % shardsPerGroup;
}

/** The shard of an entity, of a singleton or of a cron: the last two are hashed by their name. */
export function shardIdFor(group: string, entityId: string, shardsPerGroup: number): ShardId {
  return shardIdOf(group, shardNumberOf(entityId, shardsPerGroup));
}

/** The hash of a name, for decisions that all members must take alike. Unsigned 32 bits. */
export function hashOfName(name: string, seed: number): number {
  if (name.length > SHORT.length) return murmurHash3(UTF8.encode(name), seed);
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at);
    if (code > 0x7f) return murmurHash3(UTF8.encode(name), seed);
    SHORT[at] = code;
  }
  return murmurHash3(SHORT, seed, name.length);
}

/**
 * MurmurHash3 x86 32 of the first `length` bytes: a well-spread hash of 32 bits, not a secret one. Unsigned.
 * Source: Appleby, "MurmurHash3.cpp" in SMHasher, `MurmurHash3_x86_32`; checked against its verification value.
 */
export function murmurHash3(bytes: Uint8Array, seed: number, length: number = bytes.length): number {
  const tail = length & ~3;
  let hash = seed | 0;
  for (let at = 0; at < tail; at += 4) hash = mixBlock(hash, blockAt(bytes, at, 4));
  if (tail < length) hash ^= scramble(blockAt(bytes, tail, length - tail));
  return avalanche(hash ^ length);
}

/** The same hash of the four bytes of `block`, lowest first. */
export function murmurHash3OfBlock(block: number, seed: number): number {
  return avalanche(mixBlock(seed | 0, block) ^ 4);
}

/** Up to four bytes as a number, lowest first. */
function blockAt(bytes: Uint8Array, at: number, count: number): number {
  let block = 0;
  for (let index = 0; index < count; index += 1) block |= (bytes[at + index] ?? 0) << (8 * index);
  return block;
}

function mixBlock(hash: number, block: number): number {
  return (Math.imul(rotateLeft(hash ^ scramble(block), 13), 5) + 0xe6546b64) | 0;
}

function scramble(block: number): number {
  return Math.imul(rotateLeft(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
}

function avalanche(hash: number): number {
  let mixed = hash;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
