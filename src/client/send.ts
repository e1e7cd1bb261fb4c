/** Requests and what comes back, with `fetch` alone. */
import { AccreteError } from "../core/errors.ts";

/** Where a client asks, and as whom. */
export interface ClientOptions {
  /** Where the server is, e.g. `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** The token for reading or for changing. */
  readonly token?: string | undefined;
  /** In place of the global `fetch`. */
  readonly fetch?: ((request: Request) => Response | Promise<Response>) | undefined;
}

/** How one call is made. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** One server-sent event; its data as it was sent. */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string;
}

/** What a server refused, with the code that stays the same from version to version. */
export class ResponseError extends AccreteError {
  readonly status: number;
  /** Seconds after which it is worth asking again. */
  readonly retryAfter: number | undefined;
  readonly requestId: string | undefined;

  constructor(response: Response, code: string, message: string) {
    super(code, message);
    this.status = response.status;
    const after = response.headers.get("Retry-After");
    this.retryAfter = after === null ? undefined : Number(after);
    this.requestId = response.headers.get("X-Request-Id") ?? undefined;
  }
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

async function refusalOf(response: Response): Promise<ResponseError> {
  const text = await response.text();
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch {
    // A proxy's page, or nothing.
  }
  const whole = isObject(told) ? told : {};
  const inner = isObject(whole.error) ? whole.error : { message: whole.error, code: whole.code };
  const message =
    typeof inner.message === "string" ? inner.message : `the server answered ${response.status}`;
  return new ResponseError(response, typeof inner.code === "string" ? inner.code : "HTTP", message);
}

/** The events of a stream, as the HTML standard reads them. */
async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      text += decoder.decode(value, { stream: !done });
      const blocks = text.split(/\r?\n\r?\n/);
      text = done ? "" : (blocks.pop() ?? "");
      for (const block of blocks) {
        const fields = block.split(/\r?\n/).map((line) => /^(\w+): ?(.*)$/.exec(line) ?? []);
        const of = (name: string) => fields.filter(([, field]) => field === name).map(([, , given]) => given);
        if (of("data").length === 0) continue;
        yield {
          event: of("event").at(-1) ?? "message",
          data: of("data").join("\n"),
          id: of("id").at(-1) ?? "",
        };
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

export class Send {
  private readonly options: ClientOptions;

  constructor(options: ClientOptions) {
    this.options = options;
  }

  private async response(
    { method, path, query = {}, body }: Sent,
    { signal }: CallOptions = {},
  ): Promise<Response> {
    const { baseUrl, token, fetch: send = (request: Request) => fetch(request) } = this.options;
    const url = new URL(baseUrl.replace(/\/+$/, "") + path);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const request = new Request(url, {
      method,
      headers: {
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "Content-Type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    });
    const response = await send(request);
    if (!response.ok) throw await refusalOf(response);
    return response;
  }

  /** @throws ResponseError where the server refuses */
  async json<T>(sent: Sent, options?: CallOptions): Promise<T> {
    return JSON.parse(await this.text(sent, options));
  }

  async text(sent: Sent, options?: CallOptions): Promise<string> {
    return await (await this.response(sent, options)).text();
  }

  async *events(sent: Sent, options?: CallOptions): AsyncGenerator<ServerEvent> {
    const { body } = await this.response(sent, options);
    if (body !== null) yield* readEvents(body);
  }
}
