import assert from "node:assert/strict";
import { test } from "node:test";
import type { Address } from "../ffi/types.ts";
import { Addresses, SHARED_ADDRESSES, sharedAddresses } from "../src/thread/addresses.ts";

// What a worker has open, and what of that the other thread sees: it frees that after a crash.

/** A set, and the memory that the other thread looks at. */
function made(): { set: Addresses; shared: BigUint64Array<SharedArrayBuffer> } {
  const shared = new BigUint64Array(
    new SharedArrayBuffer(SHARED_ADDRESSES * BigUint64Array.BYTES_PER_ELEMENT),
  );
  return { set: new Addresses(shared), shared };
}

/** Some addresses, from the first to before the last. */
function addresses(first: number, last: number): bigint[] {
  return Array.from(
    { length: last - first },
    (_, i) => 0x7f00_0000_0000n + 16n * BigInt(first + i),
  );
}

/** All of them, in an order of its own. */
function sorted(all: Iterable<Address>): bigint[] {
  return [...all].map(BigInt).sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
}

test("both threads see what has been added, and not what has been deleted", () => {
  const { set, shared } = made();
  assert.deepEqual([[...set], sharedAddresses(shared)], [[], []]);
  const [a, b, c] = addresses(0, 3) as [bigint, bigint, bigint];
  for (const address of [a, b, c]) set.add(address);
  assert.deepEqual(sorted(set), [a, b, c]);
  assert.deepEqual(sorted(sharedAddresses(shared)), [a, b, c]);
  set.delete(b);
  assert.deepEqual(sorted(set), [a, c]);
  assert.deepEqual(sorted(sharedAddresses(shared)), [a, c]);
});

test("an address may be a number or a bigint, and is seen whole", () => {
  const { set, shared } = made();
  set.add(0x7fff_ffff_fff0);
  set.add(0xffff_ffff_ffff_fff0n);
  assert.deepEqual([...set], [0x7fff_ffff_fff0, 0xffff_ffff_ffff_fff0n]);
  assert.deepEqual(sorted(sharedAddresses(shared)), [0x7fff_ffff_fff0n, 0xffff_ffff_ffff_fff0n]);
  set.delete(0x7fff_ffff_fff0);
  assert.deepEqual(sharedAddresses(shared), [0xffff_ffff_ffff_fff0n]);
});

test("freed places are taken again, however often", () => {
  const { set, shared } = made();
  const kept = addresses(0, SHARED_ADDRESSES - 1);
  for (const address of kept) set.add(address);
  // There is one place left, and after it none.
  for (const address of addresses(10_000, 10_300)) {
    set.add(address);
    assert.ok(sharedAddresses(shared).includes(address), "not seen by the other thread");
    set.delete(address);
  }
  assert.deepEqual(sorted(sharedAddresses(shared)), kept);
  // Places in the middle are as good as the last.
  const [out, into] = [kept.slice(100, 200), addresses(20_000, 20_100)];
  for (const address of out) set.delete(address);
  for (const address of into) set.add(address);
  const now = sorted([...kept.slice(0, 100), ...kept.slice(200), ...into]);
  assert.deepEqual(sorted(set), now);
  assert.deepEqual(sorted(sharedAddresses(shared)), now);
});

test("beyond 1024 addresses the worker knows all, the other thread the first 1024", () => {
  const { set, shared } = made();
  const all = addresses(0, SHARED_ADDRESSES + 500);
  assert.equal(SHARED_ADDRESSES, 1024);
  for (const address of all) set.add(address);
  assert.deepEqual(sorted(set), all);
  const seen = all.slice(0, SHARED_ADDRESSES);
  assert.deepEqual(sorted(sharedAddresses(shared)), seen);
  // What was not seen leaves no trace when it goes.
  for (const address of all.slice(SHARED_ADDRESSES)) set.delete(address);
  assert.deepEqual(sorted(set), seen);
  assert.deepEqual(sorted(sharedAddresses(shared)), seen);
  // And a place that is seen is taken again.
  set.delete(all[7]!);
  set.add(all.at(-1)!);
  const now = sorted([...seen.filter((address) => address !== all[7]), all.at(-1)!]);
  assert.deepEqual(sorted(set), now);
  assert.deepEqual(sorted(sharedAddresses(shared)), now);
});

test("nothing is left when all are freed, and all places can be taken again", () => {
  const { set, shared } = made();
  const many = addresses(0, SHARED_ADDRESSES + 500);
  for (const address of many) set.add(address);
  set.clear();
  assert.deepEqual([[...set], sharedAddresses(shared)], [[], []]);
  assert.ok(shared.every((address) => address === 0n));
  const others = addresses(5000, 5000 + SHARED_ADDRESSES);
  for (const address of others) set.add(address);
  assert.deepEqual(sorted(set), others);
});

test("any adding and deleting: the worker's set is a set, the other thread sees none too many", () => {
  const { set, shared } = made();
  const model = new Set<bigint>();
  const all = addresses(0, 2000);
  let most = 0;
  let seed = 1;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
  for (let i = 0; i < 20_000; i++) {
    const address = all[random(all.length)]!;
    if (model.delete(address)) set.delete(address);
    else {
      model.add(address);
      set.add(address);
      most = Math.max(most, model.size);
    }
    if (i % 500 !== 0) continue;
    assert.deepEqual(sorted(set), sorted(model));
    const seen = sharedAddresses(shared);
    assert.equal(new Set(seen).size, seen.length);
    assert.ok(seen.every((address) => model.has(address)));
    // No more are unseen than there ever were too many at once.
    assert.ok(seen.length >= model.size - Math.max(0, most - SHARED_ADDRESSES));
  }
});
