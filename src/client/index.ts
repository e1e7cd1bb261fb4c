/** A client of `accrete serve`: `fetch` alone, in Node and in browsers. */
import { operationsOf } from "./operations.ts";
import { type ClientOptions, Send } from "./send.ts";

export type * from "./operations.ts";
export { type CallOptions, type ClientOptions, ResponseError, type ServerEvent } from "./send.ts";

/** Asks a server; one method for each of its operations. */
export type Client = ReturnType<typeof operationsOf>;

/**
 * Every route of a server as a call.
 * @example
 * const client = createClient({ baseUrl: "http://127.0.0.1:8080" });
 * const { predictions } = await client.predict({ name: "intents" }, { texts: ["when does the next train leave?"] });
 */
export function createClient(options: ClientOptions): Client {
  return operationsOf(new Send(options));
}
