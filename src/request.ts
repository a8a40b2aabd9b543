/**
 * What a call returns that opens something: a promise of it that can also be disposed of.
 *
 * @module
 */

/**
 * A promise that is also an async resource: `await` gives the thing, `await using` closes it at
 * the end of the block.
 */
export class Request<T extends AsyncDisposable> extends Promise<T> implements AsyncDisposable {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Closes what was opened; nothing to do when opening has failed, which rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await (await this)[Symbol.asyncDispose]();
  }
}

// An await takes a promise as it is only if this says so.
Object.defineProperty(Request.prototype, "constructor", { value: Promise });

/**
 * Makes a request of a promise, in place: only an `await` of the very promise of the async
 * function that failed gives the error the caller's stack, in every runtime.
 */
export function asRequest<T extends AsyncDisposable>(promise: Promise<T>): Request<T> {
  return Object.setPrototypeOf(promise, Request.prototype);
}
