/**
 * Imported before anything else, and inherited by threads: koffi seems not to be installed, so that
 * Node falls back on its own `node:ffi`.
 *
 * @module
 */
import { registerHooks } from "node:module";

registerHooks({
  resolve: (specifier, context, next) => {
    if (specifier === "koffi") throw new Error("koffi is hidden");
    return next(specifier, context);
  },
});
