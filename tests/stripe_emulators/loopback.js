// Loaded before a server that would listen on every address: it listens on this machine only, and says its port.
const { Server } = require("net");

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ready) {
    return listen.call(this, { host: "127.0.0.1", port }, () => {
        ready();
        process.stdout.write(`${this.address().port}\n`);
    });
};
