// One conformance run of @grpc/grpc-js against the address in argv[2]; prints one JSON object of what it saw.
const grpc = require('@grpc/grpc-js');

const same = (octets) => octets;
const method = (path, stream) => ({
  path, requestStream: stream, responseStream: stream,
  requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
});
const Service = grpc.makeGenericClientConstructor({
  Echo: method('/test.Service/Echo', true),
  EchoOne: method('/test.Service/EchoOne', false),
  Commands: method('/test.Service/Commands', true),
  Command: method('/test.Service/Command', false),
  Nothing: method('/test.Service/Nothing', false),
}, 'test.Service');

const secure = process.argv[3];
const credentials = secure ? grpc.credentials.createSsl(require('fs').readFileSync(secure)) : grpc.credentials.createInsecure();
const client = new Service(process.argv[2], credentials);

const unary = (name, text, { metadata = new grpc.Metadata(), timeoutMs = 8000 } = {}) => new Promise((resolve) => {
  client[name](Buffer.from(text), metadata, { deadline: Date.now() + timeoutMs }, (error, response) => {
    resolve(error ? { code: error.code, details: error.details } : { code: 0, text: response.toString() });
  });
});

const stream = (name, messages, { timeoutMs = 8000, cancelAfter = 0 } = {}) => new Promise((resolve) => {
  const call = client[name]({ deadline: Date.now() + timeoutMs });
  const received = [];
  call.on('data', (message) => {
    received.push(message.toString());
    if (received.length === cancelAfter) call.cancel();
  });
  call.on('error', () => {});
  call.on('status', (status) => resolve({ code: status.code, details: status.details, received }));
  messages.forEach((message) => call.write(Buffer.from(message)));
  if (!cancelAfter) call.end();
});

async function main() {
  const metadata = new grpc.Metadata();
  metadata.set('authorization', 'Bearer t');
  metadata.set('raw-bin', Buffer.from([0, 255]));
  const many = Array.from({ length: 500 }, (_, i) => `message ${i}`);
  const seen = {
    echo: await unary('EchoOne', 'hello'),
    large: (await unary('EchoOne', 'x'.repeat(1000000))).text.length,
    parallel: (await Promise.all(many.slice(0, 50).map((text) => unary('EchoOne', text)))).map((answer) => answer.text),
    fail: await unary('Command', 'fail:5:没有 100%'),
    crash: (await unary('Command', 'crash')).code,
    unknown: (await unary('Nothing', '')).code,
    text: (await unary('Command', 'metadata:authorization', { metadata })).text,
    binary: (await unary('Command', 'metadata:raw-bin', { metadata })).text,
    late: (await unary('Command', 'sleep:5000', { timeoutMs: 150 })).code,
    stream: await stream('Echo', many),
    ended: await stream('Commands', ['echo:a', 'end:9:no']),
    cancelled: (await stream('Commands', ['echo:a'], { cancelAfter: 1 })).code,
    after: await unary('EchoOne', 'still here'),
  };
  console.log(JSON.stringify(seen));
  client.close();
}

main();
