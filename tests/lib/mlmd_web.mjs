/* Calls ML Metadata as its pages do: node mlmd_web.mjs PACKAGES URL DESCRIPTORS FORMAT. Google's client of gRPC-Web (grpc-web, FORMAT is
 * text or binary) over an XMLHttpRequest, one stub for each method of the service in DESCRIPTORS, which the library brings along. What is
 * read is JSON: [[method, request, metadata]...]. Prints, as JSON, what each was answered: {answer} or {code, message}. */
import fs from "node:fs";
import { createRequire } from "node:module";

const [packages, url, descriptors, format] = process.argv.slice(2);
const require = createRequire(packages + "/");
globalThis.XMLHttpRequest = require("xhr2").XMLHttpRequest;
const web = require("grpc-web");
const protobuf = require("protobufjs");
require("protobufjs/ext/descriptor");

const root = protobuf.Root.fromDescriptor(fs.readFileSync(descriptors));
root.resolveAll();
const service = root.lookupService("ml_metadata.MetadataStoreService");
const client = new web.GrpcWebClientBase({ format });

/* What protoc-gen-grpc-web writes for a method. */
function stub(name) {
    const method = service.methods[name];
    return new web.MethodDescriptor(`/ml_metadata.MetadataStoreService/${name}`, web.MethodType.UNARY, Object, Object,
        (request) => method.resolvedRequestType.encode(method.resolvedRequestType.fromObject(request)).finish(),
        (bytes) => method.resolvedResponseType.toObject(method.resolvedResponseType.decode(bytes), { longs: String, enums: String }));
}

const out = [];
for (const [name, request, metadata] of JSON.parse(fs.readFileSync(0, "utf8"))) {
    const path = `${url}/ml_metadata.MetadataStoreService/${name}`;
    try {
        out.push({ answer: await client.unaryCall(path, request, metadata ?? {}, stub(name)) });
    } catch (error) {
        out.push({ code: error.code, message: error.message });
    }
}
console.log(JSON.stringify(out));
