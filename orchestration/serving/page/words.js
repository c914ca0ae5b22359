// Errors and states in words: what happened, and what to do about it.

const KEPT = "Your picture and settings are kept.";
const REFUSALS = {
  unreachable: ["The service does not answer.", `Check that it runs and that you are connected. ${KEPT}`],
  queue_full: ["Too many videos are waiting.", `Try again when some of them are finished. ${KEPT}`],
  rate_limited: ["That was one video too many for now.", `Your key may only make some each minute. ${KEPT}`],
  too_many_uploads: ["The service is receiving too many pictures at once.", KEPT],
  unavailable: ["The service is not ready yet.", `It is loading its model. ${KEPT}`],
  missing_key: ["This service needs an API key.", "Enter it above. Whoever runs the service can give you one."],
  invalid_key: ["This API key is not valid.", "Check that it is complete, or ask for a new one."],
  forbidden: ["This page may not use the service.", null],
  invalid_image: ["The picture cannot be used.", null],
  image_too_large: ["The picture is too large.", "Choose a smaller one."],
  body_too_large: ["The pictures have too many bytes.", "Choose smaller ones, or save them as JPEG."],
  body_timeout: ["The upload took too long.", `Try again over a faster connection, or with a smaller picture. ${KEPT}`],
  model_not_found: ["This model is not served any more.", "Choose another one."],
  storage_full: ["The service has no room for more videos.", "Delete some, or ask whoever runs the service."],
  not_found: ["The service does not know this video.", "It was deleted, or belongs to another key."],
  expired: ["The video was kept for its time, and then removed.", "Create it again with the same seed."],
  internal: ["The service failed.", null],
};
const FAILURES = {
  out_of_memory: ["The device has too little memory for this video.", "Choose fewer frames or a smaller size."],
  not_finite: ["The video came out damaged.", "Lower the guidance, then try again."],
  model_unavailable: ["The model cannot make this video.", null],
  replica_lost: ["The machine that made this video stopped several times.", "Try again later."],
  internal: ["The service failed while it made this video.", null],
};

export const SOLVERS = {
  ddim: "DDIM", dpmpp_2m: "DPM-Solver++", unipc: "UniPC", sde_dpmpp_2m: "SDE-DPM-Solver++", consistency: "Consistency",
};

// [title, text] of an ApiError, or of the error of a failed video.
export const refusal = (error) => worded(REFUSALS, error, "The service refused this.");
export const failure = (error) => worded(FAILURES, error, "This video failed.");

function worded(words, error, otherwise) {
  const [title, text] = words[error.code] ?? [otherwise, null];
  return [title, text ?? sentence(error.message)];
}

export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

// What a video is doing, in one line.
export function status(video) {
  switch (video.status) {
    case "queued":
      return video.queue_position ? `Waiting: number ${video.queue_position} in the queue` : "Waiting";
    case "in_progress":
      return [working(video), left(video)].filter(Boolean).join(" · ");
    case "completed":
      return "Finished";
    case "failed":
      return "Failed";
    case "cancelled":
      return "Cancelled";
    default:
      return "Expired: its files were removed";
  }
}

function working(video) {
  if (!video.steps) return "Starting";
  return video.step < video.steps ? `Step ${video.step} of ${video.steps}` : "Writing the files";
}

function left(video) {
  const seconds = video.remaining_seconds;
  return seconds === null || video.step === video.steps ? "" : `${duration(seconds)} left`;
}

export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return counted(Math.round(seconds), "second");
  return `about ${counted(Math.round(seconds / 60), "minute")}`;
}

export const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

export const megapixels = (pixels) => `${Number((pixels / 1e6).toPrecision(3))} megapixels`;
export const bytes = (count) =>
  count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${Number((count / 1e6).toFixed(1))} MB`;

// The digits by which a bundle is named.
export const short = (digest) => digest.slice(0, 8);
