import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.BuiltinExchangeType;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Map;

/**
 * A subscriber outside Waybill: a queue of its own, and every event handled once. docs/subscribing.md explains it.
 *
 * <p>It keeps the departures in PostgreSQL, which also parses the body. Needs com.rabbitmq:amqp-client 5.x,
 * org.postgresql:postgresql 42.x and a binding of SLF4J. Environment: AMQP_URI, JDBC_URL, SUBSCRIBER.
 */
public final class Subscriber {
    private static final String TOPIC = "VirtualTopic.ep.orders";
    private static final String SHIPPED = "order-shipment-shipped";
    private static final long AGAIN_MS = 1000;

    private static final String TABLES =
            "CREATE TABLE IF NOT EXISTS handled (message_id uuid PRIMARY KEY, handled_at timestamptz DEFAULT now());"
                    + "CREATE TABLE IF NOT EXISTS departures (shipment text, sequence bigint, event jsonb)";
    private static final String CLAIM = "INSERT INTO handled (message_id) VALUES (?::uuid) ON CONFLICT DO NOTHING";
    private static final String KEEP =
            "INSERT INTO departures SELECT e ->> 'guid', (e #>> '{data,sequence}')::bigint, e"
                    + " FROM (SELECT ?::jsonb) AS given (e)";

    private final String jdbcUrl;
    private Connection database;

    private Subscriber(String jdbcUrl) {
        this.jdbcUrl = jdbcUrl;
    }

    public static void main(String[] arguments) throws Exception {
        Subscriber subscriber = new Subscriber(System.getenv("JDBC_URL"));
        try (var statement = subscriber.database().createStatement()) {
            statement.execute(TABLES);
        }
        subscriber.database().commit();

        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URI"));
        factory.setRequestedHeartbeat(15);
        // The client connects again by itself, and declares and consumes again: its default since version 4.
        Channel channel = factory.newConnection(System.getenv("SUBSCRIBER")).createChannel();
        String queue = bindQueue(channel, System.getenv("SUBSCRIBER"));
        channel.basicQos(20);
        channel.basicConsume(
                queue,
                false,
                (tag, delivery) -> subscriber.settle(channel, delivery),
                // The queue is gone. Whoever supervises the process starts it again, and it declares the queue again.
                tag -> System.exit(1));
        System.out.println("consuming " + queue);
    }

    /** Declares what the subscriber owns, dead letters first, and binds it. Repeating it changes nothing. */
    private static String bindQueue(Channel channel, String subscriber) throws IOException {
        String queue = "Consumer." + subscriber + "." + TOPIC;
        String dead = queue + ".dead";
        channel.exchangeDeclare(dead, BuiltinExchangeType.FANOUT, true);
        channel.queueDeclare(
                dead, true, false, false, Map.of("x-queue-type", "quorum", "x-delivery-limit", Integer.MAX_VALUE));
        channel.queueBind(dead, dead, "");
        channel.queueDeclare(
                queue,
                true,
                false,
                false,
                Map.of(
                        "x-queue-type", "quorum",
                        "x-delivery-limit", 100,
                        "x-dead-letter-exchange", dead,
                        "x-dead-letter-strategy", "at-least-once",
                        "x-overflow", "reject-publish"));
        channel.queueBind(queue, TOPIC, SHIPPED);
        return queue;
    }

    /** Handles a message and answers the broker, after the commit and never before it. */
    private void settle(Channel channel, Delivery delivery) throws IOException {
        AMQP.BasicProperties properties = delivery.getProperties();
        long tag = delivery.getEnvelope().getDeliveryTag();
        while (true) {
            try {
                boolean isNew = handleOnce(properties.getMessageId(), delivery.getBody());
                System.out.println((isNew ? "handled " : "repeated ") + properties.getMessageId());
                channel.basicAck(tag, false);
                return;
            } catch (SQLException error) {
                rollBack();
                if (isTheMessagesFault(error)) {
                    System.err.println("dead letter " + properties.getMessageId() + ": " + error.getSQLState());
                    channel.basicReject(tag, false);
                    return;
                }
                System.err.println("database: " + error.getMessage());
                pause();
            }
        }
    }

    private boolean handleOnce(String messageId, byte[] body) throws SQLException {
        Connection connection = database();
        try (PreparedStatement claim = connection.prepareStatement(CLAIM);
                PreparedStatement keep = connection.prepareStatement(KEEP)) {
            claim.setString(1, messageId);
            boolean isNew = claim.executeUpdate() == 1;
            if (isNew) {
                keep.setString(1, new String(body, StandardCharsets.UTF_8));
                keep.executeUpdate();
            }
            connection.commit();
            return isNew;
        }
    }

    /** Says whether the data was refused (classes 22 and 23), rather than the database being away. */
    private static boolean isTheMessagesFault(SQLException error) {
        String state = error.getSQLState();
        return state != null && (state.startsWith("22") || state.startsWith("23"));
    }

    private Connection database() throws SQLException {
        if (database == null || database.isClosed()) {
            database = DriverManager.getConnection(jdbcUrl);
            database.setAutoCommit(false);
        }
        return database;
    }

    private void rollBack() {
        try {
            if (database != null) {
                database.rollback();
            }
        } catch (SQLException lost) {
            database = null;
        }
    }

    private static void pause() {
        try {
            Thread.sleep(AGAIN_MS);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }
}
