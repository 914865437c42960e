// Who this tab is: its token, and calls of the API with it.

export class Problem extends Error {
  constructor(status, problem, retryAfterS) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.retryable = problem.retryable ?? (status >= 500 || status === 429 || status === 408);
    this.retryAfterMs = Number(retryAfterS) * 1000 || 0;
  }
}

export class Session {
  constructor(account, device) {
    this.account = account;
    this.device = device;
    this.fresh = null; // the promise of a token, shared by all who wait for it
  }

  // A token that has not been refused yet: {token, expires_at}.
  token() {
    this.fresh ??= this.#fetchToken().catch((error) => {
      this.fresh = null;
      throw error;
    });
    return this.fresh;
  }

  drop() {
    this.fresh = null;
  }

  async #fetchToken() {
    const query = new URLSearchParams({ account: this.account, device: this.device });
    const response = await fetch(`/dev/token?${query}`, { cache: "no-store" });
    if (!response.ok) throw await problemOf(response);
    return response.json();
  }

  // One call of the API. A refused token is replaced once. Throws a Problem, or a TypeError when there is no network.
  async call(method, path, body) {
    const held = this.fresh;
    let response = await this.#request(method, path, body);
    if (response.status === 401) {
      if (this.fresh === held) this.drop();
      response = await this.#request(method, path, body);
    }
    if (!response.ok) throw await problemOf(response);
    return response.status === 204 ? null : response.json();
  }

  async #request(method, path, body) {
    const { token } = await this.token();
    const headers = { Authorization: `Bearer ${token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  }
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new Problem(response.status, problem, response.headers.get("retry-after"));
}
