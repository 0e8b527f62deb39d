// One front end in @grpc/grpc-js against a running gateway: argv: address, path of order_entry.proto, token, account, XSHG symbol.
// Logs on, sends an order, cancels it, asks for it; prints one JSON object of what it saw.
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, proto, token, account, symbol] = process.argv.slice(2);
const definition = loader.loadSync(proto, { keepCase: true, enums: String, longs: String, defaults: true, oneofs: true });
const { OrderEntry } = grpc.loadPackageDefinition(definition).tidegate.v1;
const client = new OrderEntry(address, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set('authorization', `Bearer ${token}`);

const unary = (name, request, credentials = metadata) => new Promise((resolve) => {
  client[name](request, credentials, { deadline: Date.now() + 8000 }, (error, response) => {
    resolve(error ? { code: error.code } : response);
  });
});

const order = {
  cl_ord_id: 'js-订单-1', account, symbol, security_exchange: 'XSHG', side: 'BUY', ord_type: 'LIMIT', order_qty_shares: 100,
  price_e4: 99000, time_in_force: 'DAY', planned_ns: '1234567890123456789',
};

const session = () => new Promise((resolve) => {
  const call = client.Session({ deadline: Date.now() + 8000 });
  const seen = [];
  call.on('data', (message) => {
    seen.push(message);
    const report = message.execution_report;
    if (message.logon_ack) call.write({ new_order: order });
    if (report && report.exec_type === 'NEW') {
      call.write({ cancel_order: { cl_ord_id: 'js-cancel', account, orig_cl_ord_id: order.cl_ord_id } });
    }
    if (report && report.exec_type === 'CANCELED') call.end();
  });
  call.on('error', () => {});
  call.on('status', (status) => resolve({ code: status.code, seen }));
  call.write({ logon: { token, accounts: [{ account }] } });
});

async function main() {
  const { code, seen } = await session();
  const found = await unary('GetOrder', { account, cl_ord_id: order.cl_ord_id });
  const submitted = await unary('Submit', { ...order, cl_ord_id: 'js-2', price_e4: 99050 });
  console.log(JSON.stringify({
    code,
    kinds: seen.map((message) => message.message),
    reports: seen.filter((message) => message.execution_report).map(({ execution_report: report }) => [
      report.event_seq, report.exec_type, report.ord_status, report.cl_ord_id, report.leaves_qty_shares, report.planned_ns]),
    found: [found.state.ord_status, found.state.cl_ord_id],
    submitted: [submitted.exec_type, submitted.reject_code],
    refused: (await unary('GetAccount', { account }, new grpc.Metadata())).code,
  }));
  client.close();
}

main();
