/** Loaded before `accrete run` in a child process: whoever started it may be killed, and it must not go on alone. */
if (process.channel !== undefined && process.channel !== null) {
  process.on("disconnect", () => process.exit(1));
  // It keeps no run from ending.
  process.channel.unref();
}

export {};
