import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The standard job (benchmarks/standard/job.py) in Kafka Streams: a processor with a RocksDB store that has a cache
 * and a changelog.
 *
 * <p>It runs twice in this virtual machine, over the same topic and each time from nothing; the second run is timed.
 * Arguments are name=value pairs.
 */
public final class StandardJob {
    static final int[] WIDTHS = {300, 3_600, 86_400};
    static final int[] TILES = {12, 24, 30};
    static final int[] FIRST = {0, 12, 36};
    static final int ALL_TILES = 66;
    static final int MERCHANTS = 32;
    static final double LIMIT = 4.0;
    static final double LEAST = 3.0;
    static final double NEVER = 1e6;
    static final double[] WEIGHTS = {
        0.25, -1e-7, 0.05, 2e-4, 1e-4, 0.02, 5e-5, 1e-4, -0.002, -1e-5, -1e-4, -0.01, 0.3, 1e-4, 0.02, -0.01, 0.2, 0.4,
        -1e-4, 2e-4
    };

    /** An event. */
    static final class Purchase {
        String eventId;
        double amount;
        String merchant;
        long ts;
    }

    /** What is remembered of a user; as small in the store as in our own worker. */
    static final class User {
        static final int BYTES = 3 * 8 + 4 + 3 * 4 + ALL_TILES * 4 + MERCHANTS * 4 + 4 + ALL_TILES * 2;
        double count;
        double mean;
        double squares;
        int last;
        final int[] newest = new int[3];
        final float[] totals = new float[ALL_TILES];
        final short[] counts = new short[ALL_TILES];
        final int[] merchants = new int[MERCHANTS];
        int known;

        double[] advance(Purchase purchase) {
            double[] features = new double[WEIGHTS.length];
            double amount = purchase.amount;
            long ts = purchase.ts;
            double deviation = count >= LEAST ? Math.sqrt(squares / (count - 1.0)) : 0.0;
            features[0] = deviation > 0.0 ? (amount - mean) / deviation : 0.0;
            features[1] = last != 0 ? ts - last : NEVER;
            count += 1.0;
            double delta = amount - mean;
            mean += delta / count;
            squares += delta * (amount - mean);
            last = (int) ts;
            for (int window = 0; window < 3; window++) {
                add(window, (int) (ts / WIDTHS[window]), amount, features);
            }
            features[12] = takeIn(purchase.merchant) ? 1.0 : 0.0;
            features[11] = Math.min(known, MERCHANTS);
            features[13] = amount;
            features[14] = Math.log1p(amount);
            features[15] = ts / 3_600 % 24;
            features[16] = features[3] / (features[6] + 1.0);
            features[17] = features[6] / (features[9] + 1.0);
            features[18] = mean;
            features[19] = deviation;
            return features;
        }

        private void add(int window, int tile, double amount, double[] features) {
            int first = FIRST[window];
            int tiles = TILES[window];
            if (tile > newest[window]) {
                int passed = Math.min(tile - newest[window], tiles);
                for (int i = 0; i < passed; i++) {
                    counts[first + (tile - i) % tiles] = 0;
                    totals[first + (tile - i) % tiles] = 0;
                }
                newest[window] = tile;
            }
            int place = first + tile % tiles;
            counts[place]++;
            totals[place] += (float) amount;
            double number = 0.0;
            double total = 0.0;
            for (int i = first; i < first + tiles; i++) {
                number += counts[i];
                total += totals[i];
            }
            features[2 + 3 * window] = number;
            features[3 + 3 * window] = total;
            features[4 + 3 * window] = total / number;
        }

        private boolean takeIn(String merchant) {
            int hash = merchant.hashCode();
            int number = hash == 0 ? 1 : hash;
            for (int other : merchants) {
                if (other == number) {
                    return false;
                }
            }
            merchants[known++ % MERCHANTS] = number;
            return true;
        }
    }

    static final Serializer<User> TO_BYTES = (topic, user) -> {
        if (user == null) {
            return null;
        }
        ByteBuffer buffer = ByteBuffer.allocate(User.BYTES);
        buffer.putDouble(user.count).putDouble(user.mean).putDouble(user.squares).putInt(user.last).putInt(user.known);
        buffer.asIntBuffer().put(user.newest).put(user.merchants);
        buffer.position(buffer.position() + 4 * (3 + MERCHANTS));
        buffer.asFloatBuffer().put(user.totals);
        buffer.position(buffer.position() + 4 * ALL_TILES);
        buffer.asShortBuffer().put(user.counts);
        return buffer.array();
    };

    static final Deserializer<User> FROM_BYTES = (topic, bytes) -> {
        if (bytes == null) {
            return null;
        }
        User user = new User();
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        user.count = buffer.getDouble();
        user.mean = buffer.getDouble();
        user.squares = buffer.getDouble();
        user.last = buffer.getInt();
        user.known = buffer.getInt();
        buffer.asIntBuffer().get(user.newest).get(user.merchants);
        buffer.position(buffer.position() + 4 * (3 + MERCHANTS));
        buffer.asFloatBuffer().get(user.totals);
        buffer.position(buffer.position() + 4 * ALL_TILES);
        buffer.asShortBuffer().get(user.counts);
        return user;
    };

    static final JsonFactory JSON = new JsonFactory();

    static final Deserializer<Purchase> PARSE = (topic, bytes) -> {
        Purchase purchase = new Purchase();
        try (JsonParser parser = JSON.createParser(bytes)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "event_id" -> purchase.eventId = parser.getText();
                    case "amount" -> purchase.amount = parser.getDoubleValue();
                    case "merchant" -> purchase.merchant = parser.getText();
                    case "ts" -> purchase.ts = parser.getLongValue();
                    default -> parser.skipChildren();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return purchase;
    };

    static byte[] warning(String eventId, String user, double[] features) {
        double sum = 0.0;
        for (int i = 0; i < WEIGHTS.length; i++) {
            sum += WEIGHTS[i] * features[i];
        }
        double score = 1.0 / (1.0 + Math.exp(-Math.max(-30.0, Math.min(30.0, sum))));
        ByteArrayOutputStream out = new ByteArrayOutputStream(512);
        try (JsonGenerator json = JSON.createGenerator(out)) {
            json.writeStartObject();
            json.writeStringField("event_id", eventId);
            json.writeStringField("user_id", user);
            json.writeNumberField("score", score);
            json.writeFieldName("features");
            json.writeArray(features, 0, features.length);
            json.writeEndObject();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return out.toByteArray();
    }

    /** One run's progress. */
    static final class Meter {
        final long events;
        final boolean timed;
        final AtomicLong done = new AtomicLong();
        final CountDownLatch all = new CountDownLatch(1);
        volatile long begun;

        Meter(long events, boolean timed) {
            this.events = events;
            this.timed = timed;
        }

        /** Before a record is worked on. */
        void begin() {
            if (begun == 0) {
                synchronized (this) {
                    if (begun == 0) {
                        begun = System.nanoTime();
                        if (timed) {
                            say("begin");
                        }
                    }
                }
            }
        }

        void count() {
            if (done.incrementAndGet() == events) {
                all.countDown();
            }
        }
    }

    static void say(String words) {
        System.out.println("\nstandard-job " + words);
        System.out.flush();
    }

    static final class Warner implements Processor<String, Purchase, String, byte[]> {
        private final Meter meter;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, User> users;

        Warner(Meter meter) {
            this.meter = meter;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            users = context.getStateStore("users");
            // The commit interval is not to be waited for at the end.
            context.schedule(Duration.ofMillis(10), PunctuationType.WALL_CLOCK_TIME, now -> {
                if (meter.all.getCount() == 0) {
                    context.commit();
                }
            });
        }

        @Override
        public void process(Record<String, Purchase> record) {
            meter.begin();
            User user = users.get(record.key());
            if (user == null) {
                user = new User();
            }
            double[] features = user.advance(record.value());
            users.put(record.key(), user);
            if (features[0] > LIMIT) {
                context.forward(record.withValue(warning(record.value().eventId, record.key(), features)));
            }
            meter.count();
        }
    }

    static Properties settings(Map<String, String> given, String id, String directory) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, directory);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, given.get("guarantee"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, given.get("threads"));
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, given.get("cache"));
        if (given.containsKey("interval")) {
            settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, given.get("interval"));
        }
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return settings;
    }

    /** Seconds from the first record until the offsets of all are committed. */
    static double run(Map<String, String> given, String id, String warnings, Meter meter) throws Exception {
        Serde<User> user = Serdes.serdeFrom(TO_BYTES, FROM_BYTES);
        Topology topology = new Topology();
        topology.addSource("purchases", Serdes.String().deserializer(), PARSE, given.get("topic"));
        topology.addProcessor("warner", () -> new Warner(meter), "purchases");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("users"), Serdes.String(), user)
                .withCachingEnabled(), "warner");
        topology.addSink("warnings", warnings, Serdes.String().serializer(), Serdes.ByteArray().serializer(), "warner");
        String directory = given.get("directory") + "/" + id;
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", given.get("bootstrap")));
            KafkaStreams streams = new KafkaStreams(topology, settings(given, id, directory))) {
            streams.start();
            meter.all.await();
            long committed;
            do {
                Thread.sleep(2);
                committed = admin.listConsumerGroupOffsets(id).partitionsToOffsetAndMetadata().get().values().stream()
                    .mapToLong(found -> found == null ? 0 : found.offset()).sum();
            } while (committed < meter.events);
            double seconds = (System.nanoTime() - meter.begun) / 1e9;
            if (meter.timed) {
                say("end " + seconds + " " + meter.events);
            }
            return seconds;
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> given = new HashMap<>();
        Arrays.stream(arguments).map(argument -> argument.split("=", 2)).forEach(pair -> given.put(pair[0], pair[1]));
        long events = Long.parseLong(given.get("events"));
        String id = given.get("group");
        String practice = given.get("warnings") + "-warm-up";
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", given.get("bootstrap")))) {
            int partitions = Integer.parseInt(given.get("partitions"));
            admin.createTopics(List.of(new NewTopic(practice, partitions, (short) 1))).all().get();
        }
        run(given, id + "-warm-up", practice, new Meter(events, false));
        run(given, id, given.get("warnings"), new Meter(events, true));
    }
}
