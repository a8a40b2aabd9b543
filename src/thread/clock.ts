/**
 * The clock, which is read several times in each call.
 *
 * @module
 */

/** `performance`: the global of that name is an accessor in Node, and dearer than the time itself. */
export const clock: Performance = performance;
