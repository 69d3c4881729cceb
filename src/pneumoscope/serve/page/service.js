// Requests to the service.

const MOST_ATTEMPTS = 20;

export class AskError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let token = sessionStorage.getItem("token") ?? "";

export function setToken(value) {
  token = value;
  sessionStorage.setItem("token", value);
}

// Return the response of the service; throw AskError with the reason, or the browser's own error
// without a response. If the service is busy, the request is repeated after the stated time.
export async function ask(path, body) {
  for (let attempt = 1; ; attempt += 1) {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    if (body) headers["content-type"] = "application/octet-stream";
    const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body });
    if (answer.ok) return answer;
    const reason = await reasonOf(answer);
    const busy = answer.status === 429 || (answer.status === 503 && answer.headers.has("retry-after"));
    if (!busy || attempt >= MOST_ATTEMPTS) throw new AskError(answer.status, reason);
    const seconds = Number(answer.headers.get("retry-after")) || 1;
    await new Promise((done) => setTimeout(done, 1000 * seconds));
  }
}

async function reasonOf(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The service answered ${answer.status}.`;
  }
}
