// Calls of the REST API with the session's cookie and its CSRF token.

/** A problem document (RFC 9457) as an exception. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail);
    this.document = document;
  }
}

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = document.querySelector('meta[name="csrf-token"]').content;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(15000),
  });
  const loggedOut = answer.status === 401 || (answer.redirected && new URL(answer.url).pathname === "/login");
  if (loggedOut) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
  if (!answer.ok) {
    const isProblem = (answer.headers.get("Content-Type") ?? "").startsWith("application/problem+json");
    throw new Problem(isProblem ? await answer.json() : { detail: answer.statusText, hint: "", status: answer.status });
  }
  return answer.status === 204 ? null : answer.json();
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const del = (path) => call("DELETE", path);
