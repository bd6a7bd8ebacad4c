// How numbers, instants and durations are written. What is missing is a dash, never a blank.

export const MISSING = "–";

export function number(value, decimals = 0) {
  return value === null || value === undefined ? MISSING : value.toFixed(decimals).replace("-", "−");
}

export function signed(value, decimals) {
  if (value === null || value === undefined) return MISSING;
  return (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(decimals);
}

export function withError(value, error, decimals) {
  if (value === null || value === undefined) return MISSING;
  return error ? `${number(value, decimals)} ± ${error.toFixed(decimals)}` : number(value, decimals);
}

const two = (value) => String(Math.floor(value)).padStart(2, "0");

// A running clock: −00:12, 12:34, 1:02:03, 2 d 04:05:06.
export function running(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  const sign = seconds < 0 ? "−" : "";
  const whole = Math.floor(Math.abs(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const rest = `${two((whole / 60) % 60)}:${two(whole % 60)}`;
  if (days > 0) return `${sign}${days} d ${two(hours)}:${rest}`;
  return hours > 0 ? `${sign}${hours}:${rest}` : `${sign}${rest}`;
}

// A rounded duration in words: 12 s, 4 min, 3.2 h, 2 d.
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (size < 90) return `${sign}${Math.round(size)} s`;
  if (size < 5400) return `${sign}${Math.round(size / 60)} min`;
  if (size < 172800) return `${sign}${(size / 3600).toFixed(1)} h`;
  return `${sign}${Math.round(size / 86400)} d`;
}

export function bytes(count) {
  if (count < 1e6) return `${(count / 1e3).toFixed(0)} kB`;
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(1)} GB`;
}

// Milliseconds since 1970 of an instant as the API writes it.
export function instant(text) {
  return Date.parse(text);
}

export function timeOfDay(text) {
  return text ? text.slice(11, 19) : MISSING;
}

export function dateAndTime(text) {
  return text ? `${text.slice(0, 10)} ${text.slice(11, 23)}` : MISSING;
}

export function angle(degrees) {
  if (degrees === null || degrees === undefined) return MISSING;
  if (degrees < 1 / 60) return `${(degrees * 3600).toFixed(1)}″`;
  return degrees < 1 ? `${(degrees * 60).toFixed(1)}′` : `${degrees.toFixed(2)}°`;
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
