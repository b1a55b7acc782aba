/* Sends a file with tus-js-client: node tus_client.mjs PACKAGES URL FILE PATH FOLDER. It remembers in FOLDER what it sends, so the same
 * command goes on where it stopped. Prints how much the server had when it went on, and the address of the upload. */
import fs from "node:fs";
import { createRequire } from "node:module";

const [packages, endpoint, file, path, folder] = process.argv.slice(2);
const require = createRequire(packages + "/");
const tus = require("tus-js-client");
const { FileUrlStorage } = tus;

let had = null;
const upload = new tus.Upload(fs.createReadStream(file), {
    endpoint,
    chunkSize: 1 << 20,
    retryDelays: null,
    metadata: { path },
    uploadSize: fs.statSync(file).size,
    urlStorage: new FileUrlStorage(folder + "/urls.json"),
    fingerprint: async () => file,
    onProgress: (sent) => { had ??= sent; },
    onError: (error) => { console.error(String(error)); process.exit(3); },
    onSuccess: () => { console.log(had, upload.url); process.exit(0); },
});
const before = await upload.findPreviousUploads();
if (before.length) upload.resumeFromPreviousUpload(before[0]);
upload.start();
