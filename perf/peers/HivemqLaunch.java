import com.hivemq.embedded.EmbeddedExtension;
import com.hivemq.embedded.EmbeddedHiveMQ;
import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.parameter.*;
import com.hivemq.extension.sdk.api.services.Services;
import java.nio.file.Path;

/** HiveMQ CE with a configuration folder and a data folder; whoever comes may come in. */
public class HivemqLaunch {
    static class AllowAll implements ExtensionMain {
        public void extensionStart(ExtensionStartInput in, ExtensionStartOutput out) {
            Services.securityRegistry().setAuthenticatorProvider(i -> (SimpleAuthenticator) (a, b) -> b.authenticateSuccessfully());
        }
        public void extensionStop(ExtensionStopInput in, ExtensionStopOutput out) {}
    }

    public static void main(String[] args) {
        EmbeddedExtension extension = EmbeddedExtension.builder().withId("allow-all").withName("allow all").withVersion("1").withPriority(0).withStartPriority(1000)
            .withAuthor("bench").withExtensionMain(new AllowAll()).build();
        EmbeddedHiveMQ.builder().withConfigurationFolder(Path.of(args[0])).withDataFolder(Path.of(args[1])).withExtensionsFolder(Path.of(args[1]))
            .withEmbeddedExtension(extension).build().start().join();
    }
}
